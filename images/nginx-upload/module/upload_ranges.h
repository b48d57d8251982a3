
/*
 * The pieces of the segment protocol: a Content-Range, a session id, and the
 * set of the ranges of a file that have been received.
 *
 * Plain C without nginx, so that unit tests and a fuzzer link it alone.
 */


#ifndef _UPLOAD_RANGES_H_INCLUDED_
#define _UPLOAD_RANGES_H_INCLUDED_


#include <stddef.h>
#include <sys/types.h>


/*
 * A session id is a file name, of at most 255 bytes (NAME_MAX); this leaves
 * room for the suffixes of the files that are kept beside it.
 */
#define UPLOAD_SESSION_ID_MAX  200


/* the last byte is included, as in a Content-Range */

typedef struct {
    off_t            first;
    off_t            last;
} upload_range_t;


typedef struct {
    off_t            first;
    off_t            last;
    off_t            total;
} upload_content_range_t;


typedef struct {
    upload_range_t  *elts;          /* sorted, disjoint, not adjacent */
    size_t           n;
    size_t           size;
    off_t            total;
} upload_ranges_t;


typedef enum {
    UPLOAD_RANGES_OK = 0,
    UPLOAD_RANGES_MALFORMED,
    UPLOAD_RANGES_TOTAL,            /* another total than ranges->total */
    UPLOAD_RANGES_NO_MEMORY
} upload_ranges_e;


/* decimal digits taken; 0 when there are none or the number is too large */
size_t upload_offset_parse(const void *text, size_t len, off_t *offset);

/* "bytes A-B/TOTAL" with A <= B < TOTAL, nothing else: 0 or -1 */
int upload_content_range_parse(const unsigned char *value, size_t len,
    upload_content_range_t *range);

/* letters, digits, "_" and "-" */
int upload_session_id_valid(const unsigned char *id, size_t len);

void upload_ranges_init(upload_ranges_t *ranges, off_t total);

/* may be called again */
void upload_ranges_free(upload_ranges_t *ranges);

/*
 * Adds the lines "A-B/TOTAL" of a state file, in any order, overlapping or
 * not.  After a failure some of them may have been added.
 */
upload_ranges_e upload_ranges_parse(upload_ranges_t *ranges, const char *text,
    size_t len);

/* merges what overlaps or touches; on a failure nothing has changed */
upload_ranges_e upload_ranges_add(upload_ranges_t *ranges, off_t first,
    off_t last);

int upload_ranges_complete(const upload_ranges_t *ranges);

/* bytes from the beginning of the file without a gap */
off_t upload_ranges_prefix(const upload_ranges_t *ranges);

/*
 * Writes as many whole entries "A-B/TOTAL" as fit, without a NUL, and returns
 * the bytes written.  A line feed ends every entry, any other separator
 * stands between two.
 */
size_t upload_ranges_format(const upload_ranges_t *ranges, char separator,
    char *text, size_t size);

/* bytes that all entries need */
size_t upload_ranges_length(const upload_ranges_t *ranges, char separator);


#endif /* _UPLOAD_RANGES_H_INCLUDED_ */
