
/*
 * A streaming multipart/form-data parser, see upload_multipart.h.
 *
 * Content is searched for the delimiter and handed on in ranges of the
 * caller's own input.  Only bytes that may still turn out to be a delimiter
 * are kept between two reads, in mp->hold.
 */


#define _GNU_SOURCE
#include <string.h>

#include "upload_multipart.h"
#include "upload_part_header.h"


#define CR  '\r'
#define LF  '\n'


typedef enum {
    sw_content = 0,             /* nothing held */
    sw_match,                   /* mp->matched bytes of the pattern seen */
    sw_tail,                    /* after the boundary */
    sw_tail_padding,
    sw_tail_dash,
    sw_tail_cr,
    sw_part_end,                /* report the end of a part first */
    sw_final,
    sw_line_start,
    sw_line,
    sw_epilogue,
    sw_failed
} upload_multipart_state_e;


static upload_multipart_event_e upload_multipart_content(
    upload_multipart_t *mp, const unsigned char **pos,
    const unsigned char *last);
static const unsigned char *upload_multipart_keep(upload_multipart_t *mp,
    const unsigned char *start, const unsigned char *last);
static upload_multipart_event_e upload_multipart_range(upload_multipart_t *mp,
    const unsigned char *start, const unsigned char *end);
static int upload_multipart_match(upload_multipart_t *mp,
    const unsigned char **pos, const unsigned char *last);
static void upload_multipart_hold(upload_multipart_t *mp, unsigned char c);
static upload_multipart_event_e upload_multipart_release(
    upload_multipart_t *mp, int keep_cr);
static void upload_multipart_delimiter(upload_multipart_t *mp, int bare_lf,
    int final);
static upload_multipart_event_e upload_multipart_headers(
    upload_multipart_t *mp, const unsigned char **pos,
    const unsigned char *last);
static upload_multipart_event_e upload_multipart_fail(upload_multipart_t *mp,
    upload_multipart_event_e event, const char *reason);


size_t
upload_multipart_memory(size_t header_max)
{
    /* a line with its CR, and the values of the two headers that matter */
    return 3 * (header_max + 1);
}


void
upload_multipart_init(upload_multipart_t *mp, const upload_str_t *boundary,
    void *memory, size_t header_max)
{
    memset(mp, 0, sizeof(upload_multipart_t));

    mp->line = memory;
    mp->disposition = mp->line + header_max + 1;
    mp->content_type = mp->disposition + header_max + 1;
    mp->line_max = header_max;

    memcpy(mp->pattern, "\r\n--", 4);
    memcpy(mp->pattern + 4, boundary->data, boundary->len);
    mp->pattern_len = 4 + boundary->len;
    upload_search_init(&mp->search, mp->pattern, mp->pattern_len);

    /*
     * The first delimiter may stand at the very beginning, as if a line had
     * just ended, and it decides how lines end in the rest of the body.
     */
    mp->state = sw_match;
    mp->matched = 2;
    mp->bare_lf = 1;
    mp->first = 1;
}


upload_multipart_event_e
upload_multipart_next(upload_multipart_t *mp, const unsigned char **pos,
    const unsigned char *last)
{
    unsigned char             c;
    upload_multipart_event_e  event;

    while (*pos < last || mp->state == sw_part_end || mp->state == sw_final
           || mp->state == sw_failed)
    {
        event = UPLOAD_MULTIPART_MORE;

        switch (mp->state) {

        case sw_content:
            event = upload_multipart_content(mp, pos, last);
            break;

        case sw_match:
            if (!upload_multipart_match(mp, pos, last)) {
                event = upload_multipart_release(mp, 0);
            }

            break;

        case sw_tail:
        case sw_tail_padding:
            c = **pos;

            if (c == LF) {
                (*pos)++;
                upload_multipart_delimiter(mp, 1, 0);
                break;
            }

            if (c == CR) {
                mp->state = sw_tail_cr;

            } else if (c == '-' && mp->state == sw_tail) {
                mp->state = sw_tail_dash;

            } else if ((c == ' ' || c == '\t')
                       && mp->padding < UPLOAD_MULTIPART_PADDING_MAX)
            {
                mp->padding++;
                mp->state = sw_tail_padding;

            } else {
                event = upload_multipart_release(mp, 0);
                break;
            }

            upload_multipart_hold(mp, c);
            (*pos)++;
            break;

        case sw_tail_dash:
            if (**pos == '-') {
                (*pos)++;
                upload_multipart_delimiter(mp, 0, 1);

            } else {
                event = upload_multipart_release(mp, 0);
            }

            break;

        case sw_tail_cr:
            if (**pos == LF) {
                (*pos)++;
                upload_multipart_delimiter(mp, 0, 0);

            } else {
                event = upload_multipart_release(mp, 1);
            }

            break;

        case sw_part_end:
            mp->state = sw_line_start;
            return UPLOAD_MULTIPART_PART_END;

        case sw_final:
            if (mp->in_part) {
                mp->in_part = 0;
                return UPLOAD_MULTIPART_PART_END;
            }

            mp->state = sw_epilogue;
            return UPLOAD_MULTIPART_END;

        case sw_line_start:
        case sw_line:
            event = upload_multipart_headers(mp, pos, last);
            break;

        case sw_epilogue:
            *pos = last;
            break;

        default: /* sw_failed */
            return mp->failed;
        }

        if (event != UPLOAD_MULTIPART_MORE) {
            return event;
        }
    }

    return UPLOAD_MULTIPART_MORE;
}


const char *
upload_multipart_finish(const upload_multipart_t *mp)
{
    switch (mp->state) {

    case sw_epilogue:
        return NULL;

    case sw_line_start:
        /* a complete delimiter line that nothing follows closes the body */
        if (mp->line_len == 0) {
            return NULL;
        }

        /* fall through */

    case sw_line:
        return "request body ends inside the headers of a part";

    default:
        if (mp->first) {
            return "request body has no part: the boundary of the Content-Type"
                   " header does not occur in it";
        }

        return "request body ends before its closing boundary";
    }
}


static upload_multipart_event_e
upload_multipart_content(upload_multipart_t *mp, const unsigned char **pos,
    const unsigned char *last)
{
    size_t                skip;
    const unsigned char  *p, *start;

    start = *pos;

    /* where a bare LF begins a delimiter, a CR before it is optional */
    skip = mp->bare_lf ? 1 : 0;

    p = upload_search(&mp->search, mp->pattern + skip,
                      mp->pattern_len - skip, start, last);

    if (p == NULL) {
        p = upload_multipart_keep(mp, start, last);
        *pos = last;

        return upload_multipart_range(mp, start, p);
    }

    *pos = p + mp->pattern_len - skip;

    if (skip && p > start && p[-1] == CR) {
        p--;
    }

    memcpy(mp->hold, p, *pos - p);
    mp->hold_len = *pos - p;
    mp->padding = 0;
    mp->state = sw_tail;

    return upload_multipart_range(mp, start, p);
}


/*
 * The end of the input may be the beginning of a delimiter: hold it back.
 * A boundary has neither CR nor LF, so there is one candidate only.
 */

static const unsigned char *
upload_multipart_keep(upload_multipart_t *mp, const unsigned char *start,
    const unsigned char *last)
{
    size_t                skip, n;
    const unsigned char  *p;

    skip = mp->bare_lf ? 1 : 0;

    n = last - start;
    if (n > mp->pattern_len - skip - 1) {
        n = mp->pattern_len - skip - 1;
    }

    p = memrchr(last - n, mp->pattern[skip], n);

    if (p && memcmp(p, mp->pattern + skip, last - p) == 0) {
        mp->matched = skip + (last - p);

        if (skip && p > start && p[-1] == CR) {
            p--;
        }

    } else if (last[-1] == CR) {
        p = last - 1;
        mp->matched = 1;

    } else {
        return last;
    }

    memcpy(mp->hold, p, last - p);
    mp->hold_len = last - p;
    mp->state = sw_match;

    return p;
}


static upload_multipart_event_e
upload_multipart_range(upload_multipart_t *mp, const unsigned char *start,
    const unsigned char *end)
{
    if (start == end || !mp->in_part) {
        return UPLOAD_MULTIPART_MORE;
    }

    mp->data.data = start;
    mp->data.len = end - start;
    mp->held = (start == mp->flushed);

    return UPLOAD_MULTIPART_DATA;
}


static int
upload_multipart_match(upload_multipart_t *mp, const unsigned char **pos,
    const unsigned char *last)
{
    while (*pos < last) {

        if (**pos != mp->pattern[mp->matched]) {
            return 0;
        }

        upload_multipart_hold(mp, **pos);
        (*pos)++;

        if (++mp->matched == mp->pattern_len) {
            mp->padding = 0;
            mp->state = sw_tail;
            break;
        }
    }

    return 1;
}


static void
upload_multipart_hold(upload_multipart_t *mp, unsigned char c)
{
    mp->hold[mp->hold_len++] = c;
}


/* what was held back is content after all; a CR may begin the next match */

static upload_multipart_event_e
upload_multipart_release(upload_multipart_t *mp, int keep_cr)
{
    size_t  len;

    len = mp->hold_len - keep_cr;
    memcpy(mp->flushed, mp->hold, len);

    mp->hold_len = keep_cr;
    mp->hold[0] = CR;
    mp->matched = 1;
    mp->state = keep_cr ? sw_match : sw_content;

    return upload_multipart_range(mp, mp->flushed, mp->flushed + len);
}


static void
upload_multipart_delimiter(upload_multipart_t *mp, int bare_lf, int final)
{
    if (mp->first) {
        mp->first = 0;
        mp->bare_lf = bare_lf;
    }

    mp->hold_len = 0;
    mp->line_len = 0;

    if (final) {
        mp->state = sw_final;
        return;
    }

    memset(&mp->part, 0, sizeof(upload_part_t));

    mp->state = mp->in_part ? sw_part_end : sw_line_start;
    mp->in_part = 0;
}


static upload_multipart_event_e
upload_multipart_headers(upload_multipart_t *mp, const unsigned char **pos,
    const unsigned char *last)
{
    size_t                len;
    const char           *reason;
    const unsigned char  *p, *end;

    if (mp->state == sw_line_start) {
        mp->state = sw_line;

        if (mp->line_len && **pos != ' ' && **pos != '\t') {
            reason = upload_part_header(&mp->part, mp->line, mp->line_len,
                                        mp->disposition, mp->content_type);
            mp->line_len = 0;

            if (reason) {
                return upload_multipart_fail(mp, UPLOAD_MULTIPART_MALFORMED,
                                             reason);
            }
        }
    }

    p = *pos;
    end = memchr(p, LF, last - p);
    len = (end ? end : last) - p;

    /* one byte more than the limit, because it may be the line's CR */

    if (len > mp->line_max + 1 - mp->line_len) {
        return upload_multipart_fail(mp, UPLOAD_MULTIPART_HEADER_LIMIT, NULL);
    }

    memcpy(mp->line + mp->line_len, p, len);
    mp->line_len += len;

    if (end == NULL) {
        *pos = last;
        return UPLOAD_MULTIPART_MORE;
    }

    *pos = end + 1;

    if (mp->line_len && mp->line[mp->line_len - 1] == CR) {
        mp->line_len--;
    }

    if (mp->line_len > mp->line_max) {
        return upload_multipart_fail(mp, UPLOAD_MULTIPART_HEADER_LIMIT, NULL);
    }

    if (mp->line_len) {
        mp->state = sw_line_start;
        return UPLOAD_MULTIPART_MORE;
    }

    /*
     * The line end of the empty line can begin a delimiter, so that a part
     * without content needs no line end of its own.
     */

    mp->in_part = 1;
    mp->matched = 2;
    mp->state = sw_match;

    return UPLOAD_MULTIPART_PART;
}


static upload_multipart_event_e
upload_multipart_fail(upload_multipart_t *mp, upload_multipart_event_e event,
    const char *reason)
{
    mp->state = sw_failed;
    mp->failed = event;
    mp->reason = reason;

    return event;
}
