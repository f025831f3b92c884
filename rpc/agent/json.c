#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts ---- */

static void reserve(struct text *text, size_t more) {
    if (more < text->capacity - text->length) return; /* one byte is kept for the NUL */
    size_t capacity = text->capacity ? text->capacity : 256;
    while (more >= capacity - text->length) {
        if (capacity > SIZE_MAX / 2) abort();
        capacity *= 2;
    }
    char *data = realloc(text->data, capacity);
    if (!data) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    text->data = data;
    text->capacity = capacity;
}

void text_bytes(struct text *text, const void *bytes, size_t length) {
    reserve(text, length);
    if (length) memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = 0;
}

void text_add(struct text *text, const char *string) { text_bytes(text, string, strlen(string)); }

void text_format(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    reserve(text, (size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void text_drop(struct text *text, size_t length) {
    if (!length) return;
    text->length -= length;
    memmove(text->data, text->data + length, text->length + 1);
}

void text_cut(struct text *text, size_t length) {
    text->length = length;
    if (text->data) text->data[length] = 0;
}

void text_free(struct text *text) {
    free(text->data);
    *text = (struct text){0};
}

/* Length of the UTF-8 character at `s`, 0 if it is none (RFC 3629: no overlong form, no surrogate, at most U+10FFFF). */
static size_t utf8_length(const unsigned char *s, size_t available) {
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || length > available) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0;
    return length;
}

void text_json(struct text *text, const void *bytes, size_t length) {
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, its short escape */
    const unsigned char *s = bytes;
    text_bytes(text, "\"", 1);
    for (size_t i = 0, plain; i < length;) {
        for (plain = i; plain < length && s[plain] >= 0x20 && s[plain] < 0x7F && s[plain] != '"' && s[plain] != '\\';)
            plain++;
        text_bytes(text, s + i, plain - i);
        if ((i = plain) == length) break;
        size_t wide = utf8_length(s + i, length - i);
        const char *pair = NULL;
        for (const char *p = shorts; *p && !pair; p += 2)
            if ((unsigned char)*p == s[i]) pair = p;
        if (!wide) {
            text_add(text, "\\ufffd");
        } else if (wide > 1) {
            text_bytes(text, s + i, wide);
        } else if (pair) {
            text_bytes(text, (char[]){'\\', pair[1]}, 2);
        } else {
            text_format(text, "\\u%04x", s[i]);
        }
        i += wide ? wide : 1;
    }
    text_bytes(text, "\"", 1);
}

/* ---- parsing ---- */

static struct json values[JSON_MAX_VALUES];

struct parser {
    char *at;
    char *end; /* *end is 0 */
    size_t used;
    const char *why;
};

static bool fail(struct parser *p, const char *why) {
    if (!p->why) p->why = why;
    return false;
}

static void skip_blanks(struct parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\r' || *p->at == '\n') p->at++;
}

static bool parse_hex4(struct parser *p, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = p->at[i]; /* the NUL at the end stops this */
        uint32_t digit;
        if (c >= '0' && c <= '9') digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f') digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F') digit = (uint32_t)(c - 'A') + 10;
        else return fail(p, "\\u without four hexadecimal digits");
        *out = *out << 4 | digit;
    }
    p->at += 4;
    return true;
}

static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

/* The escape after a backslash, decoded to `*to`, which moves on. It never outruns the reading. */
static bool parse_escape(struct parser *p, char **to) {
    static const char pairs[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    char c = *p->at++;
    if (c != 'u') {
        for (const char *pair = pairs; *pair; pair += 2) {
            if (*pair != c) continue;
            *(*to)++ = pair[1];
            return true;
        }
        return fail(p, "unknown escape in a string");
    }
    uint32_t code, low;
    if (!parse_hex4(p, &code)) return false;
    if (code >= 0xDC00 && code <= 0xDFFF) return fail(p, "lone surrogate");
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (p->at[0] != '\\' || p->at[1] != 'u') return fail(p, "lone surrogate");
        p->at += 2;
        if (!parse_hex4(p, &low)) return false;
        if (low < 0xDC00 || low > 0xDFFF) return fail(p, "lone surrogate");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    *to = put_utf8(*to, code);
    return true;
}

/* At the opening quote. The decoded string takes the place of the written one. */
static bool parse_string(struct parser *p, const char **string, size_t *length) {
    if (*p->at != '"') return fail(p, "expected a string");
    char *start = ++p->at, *to = start;
    for (;;) {
        unsigned char c = (unsigned char)*p->at;
        if (c < 0x20) return fail(p, p->at == p->end ? "string without an end" : "control character in a string");
        if (c == '"') break;
        if (c == '\\') {
            p->at++;
            if (!parse_escape(p, &to)) return false;
            continue;
        }
        size_t wide = utf8_length((unsigned char *)p->at, (size_t)(p->end - p->at));
        if (!wide) return fail(p, "invalid UTF-8");
        memmove(to, p->at, wide);
        to += wide;
        p->at += wide;
    }
    p->at++;
    *string = start;
    *length = (size_t)(to - start);
    *to = 0; /* at the latest on the closing quote */
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool parse_number(struct parser *p, struct json *value) {
    char *start = p->at, *s = start + (*start == '-');
    if (!is_digit(*s)) return fail(p, "expected a value");
    if (*s == '0' && is_digit(s[1])) return fail(p, "number with a leading zero");
    while (is_digit(*s)) s++;
    value->integral = *s != '.' && *s != 'e' && *s != 'E' && s - start <= 18; /* 18 characters fit an int64_t */
    if (*s == '.') {
        if (!is_digit(*++s)) return fail(p, "number without digits after the point");
        while (is_digit(*s)) s++;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '+' || *s == '-') s++;
        if (!is_digit(*s)) return fail(p, "number without digits in the exponent");
        while (is_digit(*s)) s++;
    }
    value->kind = JSON_NUMBER;
    value->number = strtod(start, NULL);
    if (value->integral) value->integer = strtoll(start, NULL, 10);
    p->at = s;
    return true;
}

static bool parse_word(struct parser *p, const char *word) {
    size_t length = strlen(word);
    if (strncmp(p->at, word, length) != 0) return fail(p, "expected a value");
    p->at += length;
    return true;
}

static struct json *parse_value(struct parser *p, int depth);

/* After the opening bracket. */
static bool parse_members(struct parser *p, struct json *parent, char close, int depth) {
    if (depth >= JSON_MAX_DEPTH) return fail(p, "nested too deeply");
    const struct json **link = &parent->first;
    skip_blanks(p);
    if (*p->at == close) {
        p->at++;
        return true;
    }
    for (;;) {
        const char *key = NULL;
        size_t key_length = 0;
        skip_blanks(p);
        if (parent->kind == JSON_OBJECT) {
            if (!parse_string(p, &key, &key_length)) return false;
            skip_blanks(p);
            if (*p->at != ':') return fail(p, "expected a colon");
            p->at++;
        }
        struct json *member = parse_value(p, depth + 1);
        if (!member) return false;
        member->key = key;
        member->key_length = key_length;
        *link = member;
        link = &member->next;
        parent->length++;
        skip_blanks(p);
        char c = *p->at;
        if (c != ',' && c != close) return fail(p, c || p->at < p->end ? "expected a comma" : "ends too early");
        p->at++;
        if (c == close) return true;
    }
}

static struct json *parse_value(struct parser *p, int depth) {
    if (p->used == JSON_MAX_VALUES) {
        fail(p, "too many values");
        return NULL;
    }
    struct json *value = &values[p->used++];
    *value = (struct json){.kind = JSON_NULL};
    skip_blanks(p);
    bool good;
    switch (*p->at) {
    case '{':
    case '[':
        value->kind = *p->at == '{' ? JSON_OBJECT : JSON_ARRAY;
        p->at++;
        good = parse_members(p, value, value->kind == JSON_OBJECT ? '}' : ']', depth);
        break;
    case '"':
        value->kind = JSON_STRING;
        good = parse_string(p, &value->string, &value->length);
        break;
    case 't':
        value->kind = JSON_TRUE;
        good = parse_word(p, "true");
        break;
    case 'f':
        value->kind = JSON_FALSE;
        good = parse_word(p, "false");
        break;
    case 'n':
        good = parse_word(p, "null");
        break;
    default:
        good = parse_number(p, value);
    }
    return good ? value : NULL;
}

const struct json *json_parse(char *line, size_t length, const char **why) {
    struct parser p = {.at = line, .end = line + length};
    const struct json *value = parse_value(&p, 0);
    if (value) {
        skip_blanks(&p);
        if (p.at != p.end) {
            fail(&p, "something follows the value");
            value = NULL;
        }
    }
    *why = p.why;
    return value;
}

const struct json *json_member(const struct json *object, const char *name) {
    const struct json *found = NULL;
    if (!object || object->kind != JSON_OBJECT) return NULL;
    for (const struct json *member = object->first; member; member = member->next)
        if (member->key_length == strlen(name) && !memcmp(member->key, name, member->key_length)) found = member;
    return found;
}

bool json_is_plain(const struct json *value) {
    return value && value->kind == JSON_STRING && strlen(value->string) == value->length;
}

bool json_is_plain_array(const struct json *value) {
    if (!value || value->kind != JSON_ARRAY) return false;
    for (const struct json *member = value->first; member; member = member->next)
        if (!json_is_plain(member)) return false;
    return true;
}
