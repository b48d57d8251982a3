
/*
 * The pieces of the segment protocol, see upload_ranges.h.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "upload_ranges.h"


#define LF  '\n'

#define UPLOAD_OFFSET_MAX                                                     \
    ((off_t) ((((uintmax_t) 1) << (sizeof(off_t) * 8 - 1)) - 1))

/* most clients send in order, and few streams at once */
#define UPLOAD_RANGES_SIZE  8

/* three numbers of up to 19 digits, "-", "/", the separator, a NUL */
#define UPLOAD_RANGES_ENTRY_SIZE  (3 * 19 + 4)


static const unsigned char *upload_content_range_numbers(
    const unsigned char *p, const unsigned char *last,
    upload_content_range_t *range);
static size_t upload_ranges_find(const upload_ranges_t *ranges, off_t first);
static upload_ranges_e upload_ranges_insert(upload_ranges_t *ranges, size_t i,
    off_t first, off_t last);
static size_t upload_ranges_entry(const upload_ranges_t *ranges, size_t i,
    char separator, char *entry);


size_t
upload_offset_parse(const void *text, size_t len, off_t *offset)
{
    off_t                 n, digit;
    size_t                i;
    const unsigned char  *p;

    p = text;
    n = 0;

    for (i = 0; i < len && p[i] >= '0' && p[i] <= '9'; i++) {
        digit = p[i] - '0';

        if (n > (UPLOAD_OFFSET_MAX - digit) / 10) {
            return 0;
        }

        n = n * 10 + digit;
    }

    *offset = n;

    return i;
}


int
upload_content_range_parse(const unsigned char *value, size_t len,
    upload_content_range_t *range)
{
    const unsigned char  *last;

    if (len < 6 || strncasecmp((const char *) value, "bytes ", 6) != 0) {
        return -1;
    }

    last = value + len;

    if (upload_content_range_numbers(value + 6, last, range) != last) {
        return -1;
    }

    return 0;
}


/* returns the end of "A-B/TOTAL", or NULL */

static const unsigned char *
upload_content_range_numbers(const unsigned char *p,
    const unsigned char *last, upload_content_range_t *range)
{
    size_t  n;

    n = upload_offset_parse(p, last - p, &range->first);
    p += n;

    if (n == 0 || p == last || *p++ != '-') {
        return NULL;
    }

    n = upload_offset_parse(p, last - p, &range->last);
    p += n;

    if (n == 0 || p == last || *p++ != '/') {
        return NULL;
    }

    n = upload_offset_parse(p, last - p, &range->total);

    if (n == 0 || range->first > range->last || range->last >= range->total) {
        return NULL;
    }

    return p + n;
}


int
upload_session_id_valid(const unsigned char *id, size_t len)
{
    size_t         i;
    unsigned char  c;

    if (len == 0 || len > UPLOAD_SESSION_ID_MAX) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        c = id[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '_' || c == '-')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


void
upload_ranges_init(upload_ranges_t *ranges, off_t total)
{
    memset(ranges, 0, sizeof(upload_ranges_t));

    ranges->total = total;
}


void
upload_ranges_free(upload_ranges_t *ranges)
{
    free(ranges->elts);
    upload_ranges_init(ranges, ranges->total);
}


upload_ranges_e
upload_ranges_parse(upload_ranges_t *ranges, const char *text, size_t len)
{
    upload_ranges_e          rc;
    const unsigned char     *p, *last;
    upload_content_range_t   range;

    p = (const unsigned char *) text;
    last = p + len;

    while (p < last) {
        p = upload_content_range_numbers(p, last, &range);

        if (p == NULL || p == last || *p++ != LF) {
            return UPLOAD_RANGES_MALFORMED;
        }

        if (range.total != ranges->total) {
            return UPLOAD_RANGES_TOTAL;
        }

        rc = upload_ranges_add(ranges, range.first, range.last);
        if (rc != UPLOAD_RANGES_OK) {
            return rc;
        }
    }

    return UPLOAD_RANGES_OK;
}


upload_ranges_e
upload_ranges_add(upload_ranges_t *ranges, off_t first, off_t last)
{
    size_t           i, end;
    upload_range_t  *elts;

    if (first < 0 || first > last || last >= ranges->total) {
        return UPLOAD_RANGES_MALFORMED;
    }

    /* the entries from i to before end become one */

    i = upload_ranges_find(ranges, first);
    elts = ranges->elts;

    for (end = i; end < ranges->n && elts[end].first <= last + 1; end++) {
        /* void */
    }

    if (i == end) {
        return upload_ranges_insert(ranges, i, first, last);
    }

    if (elts[i].first > first) {
        elts[i].first = first;
    }

    elts[i].last = elts[end - 1].last > last ? elts[end - 1].last : last;

    memmove(&elts[i + 1], &elts[end],
            (ranges->n - end) * sizeof(upload_range_t));
    ranges->n -= end - i - 1;

    return UPLOAD_RANGES_OK;
}


/* the first entry that does not end before a range, or touches it */

static size_t
upload_ranges_find(const upload_ranges_t *ranges, off_t first)
{
    size_t  low, high, middle;

    low = 0;
    high = ranges->n;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (ranges->elts[middle].last + 1 < first) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


static upload_ranges_e
upload_ranges_insert(upload_ranges_t *ranges, size_t i, off_t first,
    off_t last)
{
    size_t           size;
    upload_range_t  *elts;

    if (ranges->n == ranges->size) {
        size = ranges->size ? ranges->size * 2 : UPLOAD_RANGES_SIZE;

        if (size > SIZE_MAX / sizeof(upload_range_t)) {
            return UPLOAD_RANGES_NO_MEMORY;
        }

        elts = realloc(ranges->elts, size * sizeof(upload_range_t));
        if (elts == NULL) {
            return UPLOAD_RANGES_NO_MEMORY;
        }

        ranges->elts = elts;
        ranges->size = size;
    }

    elts = ranges->elts;

    memmove(&elts[i + 1], &elts[i], (ranges->n - i) * sizeof(upload_range_t));
    elts[i].first = first;
    elts[i].last = last;
    ranges->n++;

    return UPLOAD_RANGES_OK;
}


int
upload_ranges_complete(const upload_ranges_t *ranges)
{
    return upload_ranges_prefix(ranges) == ranges->total;
}


off_t
upload_ranges_prefix(const upload_ranges_t *ranges)
{
    if (ranges->n == 0 || ranges->elts[0].first != 0) {
        return 0;
    }

    return ranges->elts[0].last + 1;
}


size_t
upload_ranges_format(const upload_ranges_t *ranges, char separator,
    char *text, size_t size)
{
    char    entry[UPLOAD_RANGES_ENTRY_SIZE];
    size_t  i, len, n;

    len = 0;

    for (i = 0; i < ranges->n; i++) {
        n = upload_ranges_entry(ranges, i, separator, entry);

        if (n > size - len) {
            break;
        }

        memcpy(text + len, entry, n);
        len += n;
    }

    return len;
}


size_t
upload_ranges_length(const upload_ranges_t *ranges, char separator)
{
    char    entry[UPLOAD_RANGES_ENTRY_SIZE];
    size_t  i, len;

    len = 0;

    for (i = 0; i < ranges->n; i++) {
        len += upload_ranges_entry(ranges, i, separator, entry);
    }

    return len;
}


static size_t
upload_ranges_entry(const upload_ranges_t *ranges, size_t i, char separator,
    char *entry)
{
    size_t  len;

    len = 0;

    if (separator != LF && i) {
        entry[len++] = separator;
    }

    len += snprintf(entry + len, UPLOAD_RANGES_ENTRY_SIZE - len,
                    "%lld-%lld/%lld", (long long) ranges->elts[i].first,
                    (long long) ranges->elts[i].last,
                    (long long) ranges->total);

    if (separator == LF) {
        entry[len++] = separator;
    }

    return len;
}
