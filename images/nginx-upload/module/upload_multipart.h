
/*
 * A streaming multipart/form-data parser: bytes in, events out.
 *
 * Plain C without nginx, so that unit tests and a fuzzer link it alone.
 * The events do not depend on how the body was cut into reads.
 */


#ifndef _UPLOAD_MULTIPART_H_INCLUDED_
#define _UPLOAD_MULTIPART_H_INCLUDED_


#include <stddef.h>

#include "upload_search.h"


/*
 * RFC 2046 allows 70 characters; the rest is for clients that never
 * read it.  The number bounds the bytes kept between two reads.
 */
#define UPLOAD_MULTIPART_BOUNDARY_MAX  256

/*
 * Blanks that may follow a boundary.  Real clients send none; a longer run
 * is content.
 */
#define UPLOAD_MULTIPART_PADDING_MAX   64

/* CR LF "--" boundary padding CR */
#define UPLOAD_MULTIPART_HOLD_SIZE                                            \
    (4 + UPLOAD_MULTIPART_BOUNDARY_MAX + UPLOAD_MULTIPART_PADDING_MAX + 1)


typedef struct {
    size_t                 len;
    const unsigned char   *data;
} upload_str_t;


/* what the headers of one part say; valid until the part ends */

typedef struct {
    upload_str_t           name;
    upload_str_t           file_name;
    upload_str_t           content_type;
    unsigned               disposition:1;
} upload_part_t;


typedef enum {
    UPLOAD_MULTIPART_MORE = 0,      /* the input is used up */
    UPLOAD_MULTIPART_PART,          /* the headers of a part are complete */
    UPLOAD_MULTIPART_DATA,          /* mp->data holds content of the part */
    UPLOAD_MULTIPART_PART_END,
    UPLOAD_MULTIPART_END,           /* the final delimiter was seen */
    UPLOAD_MULTIPART_MALFORMED,     /* mp->reason says what is wrong */
    UPLOAD_MULTIPART_HEADER_LIMIT   /* a part header is too long */
} upload_multipart_event_e;


typedef struct {
    /* the outcome of the last upload_multipart_next() */
    upload_part_t          part;
    upload_str_t           data;
    int                    held;        /* data are not in the input, and
                                           valid until the next call */
    const char            *reason;

    /* everything below is private */
    unsigned char         *line;
    unsigned char         *disposition;
    unsigned char         *content_type;
    size_t                 line_len;
    size_t                 line_max;

    size_t                 pattern_len;
    size_t                 matched;
    size_t                 padding;
    size_t                 hold_len;

    unsigned char          state;
    unsigned char          failed;
    unsigned               in_part:1;
    unsigned               bare_lf:1;
    unsigned               first:1;

    unsigned char          pattern[4 + UPLOAD_MULTIPART_BOUNDARY_MAX];
    upload_search_t        search;
    unsigned char          hold[UPLOAD_MULTIPART_HOLD_SIZE];
    unsigned char          flushed[UPLOAD_MULTIPART_HOLD_SIZE];
} upload_multipart_t;


/* bytes of working memory that upload_multipart_init() needs */
size_t upload_multipart_memory(size_t header_max);

/* the boundary has 1 to UPLOAD_MULTIPART_BOUNDARY_MAX bytes */
void upload_multipart_init(upload_multipart_t *mp,
    const upload_str_t *boundary, void *memory, size_t header_max);

/* call again, with *pos moved on, until it returns UPLOAD_MULTIPART_MORE */
upload_multipart_event_e upload_multipart_next(upload_multipart_t *mp,
    const unsigned char **pos, const unsigned char *last);

/* the body ended: NULL when it was complete, otherwise what is missing */
const char *upload_multipart_finish(const upload_multipart_t *mp);


#endif /* _UPLOAD_MULTIPART_H_INCLUDED_ */
