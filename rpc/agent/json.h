/* JSON in and out, for lines that may hold anything.
 *
 * Reading is done in place and without allocation: the values point into the line, which is changed. Depth and number
 * of values are bounded, so that no line can exhaust the stack or the memory of a small device.
 */
#ifndef LEADLINE_JSON_H
#define LEADLINE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that grows. Zero-initialised is empty. `data` is NULL or ends in a NUL beyond `length`. */
struct text {
    char *data;
    size_t length;
    size_t capacity;
};

/* All of these end the process with a message if memory runs out. */
void text_bytes(struct text *text, const void *bytes, size_t length);
void text_add(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A quoted JSON string. Invalid UTF-8 becomes U+FFFD, one per offending byte. */
void text_json(struct text *text, const void *bytes, size_t length);
/* Forget the first `length` bytes. */
void text_drop(struct text *text, size_t length);
/* Forget all but the first `length` bytes. */
void text_cut(struct text *text, size_t length);
void text_free(struct text *text);

enum { JSON_MAX_DEPTH = 16, JSON_MAX_VALUES = 16384 };

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    const char *key;         /* the name, if the value sits in an object; NUL-terminated */
    size_t key_length;       /* a name may hold NUL bytes of its own */
    const char *string;      /* JSON_STRING: decoded UTF-8, NUL-terminated */
    size_t length;           /* JSON_STRING: bytes; JSON_ARRAY and JSON_OBJECT: members */
    double number;           /* JSON_NUMBER */
    bool integral;           /* JSON_NUMBER: written without fraction and exponent, and an int64_t */
    int64_t integer;         /* the value if `integral` */
    const struct json *first; /* JSON_ARRAY, JSON_OBJECT: the first member, NULL if empty */
    const struct json *next;  /* the next member of the same parent, NULL for the last */
};

/* Parse a whole line of `length` bytes; `line[length]` must be a NUL. The answer is good until the next call.
 *
 * NULL if it is not exactly one JSON value (RFC 8259, strictly: UTF-8, no lone surrogates, no control characters in
 * strings), then `*why` says what is wrong. */
const struct json *json_parse(char *line, size_t length, const char **why);

/* The member of that name, NULL if there is none or `object` is no object; the last one if a name comes twice. */
const struct json *json_member(const struct json *object, const char *name);
/* Whether it is a string without NUL bytes, so that it can be handed to the kernel. NULL is not. */
bool json_is_plain(const struct json *value);
/* Whether it is an array of such strings. */
bool json_is_plain_array(const struct json *value);

#endif
