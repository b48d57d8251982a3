
/* The search finds what memmem() finds, and nothing behind the data is read. */


#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "upload_search.h"


#define PATTERN_MAX  74
#define ROUNDS       20000


/* in memory of exactly that size, for the address sanitizer */

static void
compare(const unsigned char *pattern, size_t pattern_len, size_t skip,
    const unsigned char *data, size_t len)
{
    unsigned char        *copy;
    const unsigned char  *is, *should;
    upload_search_t       search;

    copy = malloc(len ? len : 1);
    memcpy(copy, data, len);

    upload_search_init(&search, pattern, pattern_len);

    is = upload_search(&search, pattern + skip, pattern_len - skip, copy,
                       copy + len);
    should = memmem(copy, len, pattern + skip, pattern_len - skip);

    check(is == should);

    free(copy);
}


/* of so few letters that parts of the pattern are everywhere */

static void
fill(unsigned char *p, size_t len, unsigned letters)
{
    while (len--) {
        *p++ = (unsigned char) ((unsigned) rand() % letters);
    }
}


static void
test_random(unsigned letters)
{
    int             i;
    size_t          pattern_len, len, skip, at;
    unsigned char   pattern[PATTERN_MAX], *data;

    data = malloc(20000);

    for (i = 0; i < ROUNDS; i++) {
        pattern_len = 2 + (size_t) rand() % (PATTERN_MAX - 1);
        skip = (size_t) rand() % 2;
        len = (size_t) rand() % (i % 50 ? 600 : 20000);

        fill(pattern, pattern_len, letters);
        fill(data, len, letters);

        if (i % 2 && len >= pattern_len) {
            at = (size_t) rand() % (len - pattern_len + 1);
            memcpy(data + at, pattern, pattern_len);
        }

        compare(pattern, pattern_len, skip, data, len);
    }

    free(data);
}


/* at every place, after data that rule it out and after some that do not */

static void
test_places(void)
{
    size_t               at, len;
    unsigned char        data[5000];
    const unsigned char  pattern[] = "\r\n--------------boundary";

    for (len = sizeof(pattern) - 1; len < sizeof(data); len += 487) {
        for (at = 0; at + sizeof(pattern) - 1 <= len; at++) {
            memset(data, at % 2 ? '-' : 'x', len);
            memcpy(data + at, pattern, sizeof(pattern) - 1);
            compare(pattern, sizeof(pattern) - 1, at % 3 == 0, data, len);

            /* and all but its last byte */

            data[at + sizeof(pattern) - 2] = 'x';
            compare(pattern, sizeof(pattern) - 1, at % 3 == 0, data, len);
        }
    }
}


int
main(void)
{
    srand(1);

    test_random(2);
    test_random(4);
    test_random(256);
    test_places();

    printf("ok\n");

    return 0;
}
