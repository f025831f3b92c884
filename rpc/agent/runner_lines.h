// Writing the runner's lines: one JSON object each, on the stream `out`.

#ifndef LEADLINE_RUNNER_LINES_H
#define LEADLINE_RUNNER_LINES_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static FILE *out;  // to the host; file descriptor 1 itself is turned to stderr, where libraries may chatter

static void print_string(const char *text) {
  fputc('"', out);
  for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
    if (*c == '"' || *c == '\\') {
      fprintf(out, "\\%c", *c);
    } else if (*c < 0x20 || *c == 0x7f) {
      fprintf(out, "\\u%04x", *c);
    } else {
      fputc(*c, out);
    }
  }
  fputc('"', out);
}

static void end_line(void) {
  fputc('\n', out);
  if (fflush(out) != 0) exit(1);  // nobody listens any more
}

__attribute__((noreturn, format(printf, 2, 3))) static void fail(const char *code, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(out, "{\"event\":\"error\",\"code\":\"%s\",\"text\":", code);
  print_string(text);
  fputc('}', out);
  end_line();
  _exit(1);  // no destructors: after a failure inside the runtime they may crash, and hide what was said
}

#endif
