
/*
 * What the fuzz targets share: taking an input apart, and checks.
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upload_multipart.h"


/* enough for every state of a parser, and few enough bytes to be quick */
#define FUZZ_INPUT_MAX  4096


#define check(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__,      \
                    #condition);                                              \
            abort();                                                          \
        }                                                                     \
    } while (0)


typedef struct {
    const unsigned char   *pos;
    const unsigned char   *last;
} fuzz_input_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static inline unsigned
fuzz_byte(fuzz_input_t *in)
{
    return in->pos < in->last ? *in->pos++ : 0;
}


/* so many bytes, or what is left */

static inline upload_str_t
fuzz_take(fuzz_input_t *in, size_t len)
{
    upload_str_t  s;

    if (len > (size_t) (in->last - in->pos)) {
        len = in->last - in->pos;
    }

    s.data = in->pos;
    s.len = len;
    in->pos += len;

    return s;
}


/* the bytes up to the next line feed, which is dropped */

static inline upload_str_t
fuzz_line(fuzz_input_t *in)
{
    upload_str_t          s;
    const unsigned char  *lf;

    lf = NULL;

    if (in->pos < in->last) {
        lf = memchr(in->pos, '\n', in->last - in->pos);
    }

    s = fuzz_take(in, lf ? (size_t) (lf - in->pos) : SIZE_MAX);
    in->pos += lf ? 1 : 0;

    return s;
}


/* a copy of its own: the sanitizer sees what is read beyond it */

static inline unsigned char *
fuzz_copy(const unsigned char *data, size_t len)
{
    unsigned char  *copy;

    copy = malloc(len ? len : 1);
    check(copy != NULL);

    if (len) {
        memcpy(copy, data, len);
    }

    return copy;
}


static inline int
fuzz_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}


/* whether a value has control characters, but for tabs if those may be */

static inline int
fuzz_has_control(upload_str_t *s, int tab)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (fuzz_control(s->data[i]) && !(tab && s->data[i] == '\t')) {
            return 1;
        }
    }

    return 0;
}


static inline int
fuzz_same(upload_str_t *s, const void *data, size_t len)
{
    return s->len == len && (len == 0 || memcmp(s->data, data, len) == 0);
}


#endif /* _FUZZ_H_INCLUDED_ */
