
/*
 * The multipart parser: any cut of a body gives the same events, and the
 * content of a part is what a plain search for its delimiters finds.
 *
 * Input: a count, so many lengths of pieces, the limit of a header line,
 * the boundary, LF, the body.
 */


#include "fuzz.h"


#define CR  '\r'
#define LF  '\n'

/* an event is recorded in fewer bytes than that for each of the input's */
#define LOG_SIZE  (32 * (FUZZ_INPUT_MAX + 1))


typedef struct {
    upload_str_t           cuts;
    upload_str_t           boundary;
    upload_str_t           body;
    size_t                 header_max;
} fuzz_body_t;


typedef struct {
    size_t                 len;
    size_t                 content;
    unsigned char          events[LOG_SIZE];
    unsigned char          data[FUZZ_INPUT_MAX];
} fuzz_log_t;


/* what the plain search knows while the whole body is parsed at once */

typedef struct {
    size_t                 start;       /* of the part, in the body */
    size_t                 content;     /* of the log, when it began */
    int                    bare_lf;
} fuzz_part_t;


static void fuzz_parse(fuzz_body_t *b, int whole, fuzz_log_t *log);
static int fuzz_piece(fuzz_body_t *b, upload_multipart_t *mp,
    upload_str_t *piece, fuzz_part_t *part, fuzz_log_t *log);
static size_t fuzz_cut(fuzz_body_t *b, size_t n);
static void fuzz_event(fuzz_log_t *log, upload_multipart_event_e event);
static void fuzz_value(fuzz_log_t *log, const void *data, size_t len);
static void fuzz_first(fuzz_body_t *b, fuzz_part_t *part);
static void fuzz_content(fuzz_body_t *b, fuzz_part_t *part, fuzz_log_t *log,
    size_t end);
static size_t fuzz_search(fuzz_body_t *b, size_t start, int bare_lf,
    size_t *len);
static size_t fuzz_delimiter(fuzz_body_t *b, size_t start, int inside,
    int bare_lf);


static fuzz_log_t  fuzz_whole, fuzz_cut_up;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body_t   body;
    fuzz_input_t  in;

    if (size > FUZZ_INPUT_MAX) {
        return -1;
    }

    in.pos = data;
    in.last = data + size;

    body.cuts = fuzz_take(&in, fuzz_byte(&in) % 32);
    body.header_max = fuzz_byte(&in);
    body.boundary = fuzz_line(&in);
    body.body = fuzz_take(&in, SIZE_MAX);

    /* what no header can have, or what upload_part_boundary() refuses */

    if (body.boundary.len == 0
        || body.boundary.len > UPLOAD_MULTIPART_BOUNDARY_MAX
        || memchr(body.boundary.data, CR, body.boundary.len))
    {
        return -1;
    }

    fuzz_parse(&body, 1, &fuzz_whole);
    fuzz_parse(&body, 0, &fuzz_cut_up);

    check(fuzz_whole.len == fuzz_cut_up.len);
    check(memcmp(fuzz_whole.events, fuzz_cut_up.events, fuzz_whole.len) == 0);
    check(fuzz_whole.content == fuzz_cut_up.content);
    check(memcmp(fuzz_whole.data, fuzz_cut_up.data, fuzz_whole.content) == 0);

    return 0;
}


static void
fuzz_parse(fuzz_body_t *b, int whole, fuzz_log_t *log)
{
    int                  failed;
    size_t               i, n;
    void                *memory;
    const char          *missing;
    fuzz_part_t          part;
    upload_str_t         piece, boundary;
    upload_multipart_t   mp;

    log->len = 0;
    log->content = 0;

    part.start = 0;
    part.content = 0;
    part.bare_lf = 0;

    memory = malloc(upload_multipart_memory(b->header_max));
    check(memory != NULL);

    /* the parser has to keep a copy of the boundary */

    boundary.len = b->boundary.len;
    boundary.data = fuzz_copy(b->boundary.data, boundary.len);
    upload_multipart_init(&mp, &boundary, memory, b->header_max);
    free((void *) boundary.data);

    failed = 0;

    for (i = 0, n = 0; i < b->body.len && !failed; i += piece.len, n++) {
        piece.len = whole ? b->body.len : fuzz_cut(b, n);

        if (piece.len > b->body.len - i) {
            piece.len = b->body.len - i;
        }

        piece.data = fuzz_copy(b->body.data + i, piece.len);
        failed = fuzz_piece(b, &mp, &piece, whole ? &part : NULL, log);
        free((void *) piece.data);
    }

    if (!failed) {
        missing = upload_multipart_finish(&mp);
        fuzz_value(log, missing, missing ? strlen(missing) : 0);
    }

    free(memory);
}


static int
fuzz_piece(fuzz_body_t *b, upload_multipart_t *mp, upload_str_t *piece,
    fuzz_part_t *part, fuzz_log_t *log)
{
    const unsigned char       *pos, *last;
    upload_multipart_event_e   event;

    pos = piece->data;
    last = pos + piece->len;

    for ( ;; ) {
        event = upload_multipart_next(mp, &pos, last);

        check(pos >= piece->data && pos <= last);

        switch (event) {

        case UPLOAD_MULTIPART_MORE:
            check(pos == last);
            return 0;

        case UPLOAD_MULTIPART_PART:
            check(!fuzz_has_control(&mp->part.name, 0));
            check(!fuzz_has_control(&mp->part.file_name, 0));
            check(!fuzz_has_control(&mp->part.content_type, 1));

            fuzz_event(log, event);
            fuzz_value(log, mp->part.name.data, mp->part.name.len);
            fuzz_value(log, mp->part.file_name.data, mp->part.file_name.len);
            fuzz_value(log, mp->part.content_type.data,
                       mp->part.content_type.len);

            if (part) {
                if (part->start == 0) {
                    fuzz_first(b, part);
                }

                part->start = pos - piece->data;
                part->content = log->content;
            }

            break;

        case UPLOAD_MULTIPART_DATA:
            check(mp->data.len > 0);
            check(mp->data.len <= sizeof(log->data) - log->content);

            if (!mp->held) {
                check(mp->data.data >= piece->data);
                check(mp->data.data + mp->data.len <= pos);
            }

            memcpy(log->data + log->content, mp->data.data, mp->data.len);
            log->content += mp->data.len;
            break;

        case UPLOAD_MULTIPART_PART_END:
            fuzz_event(log, event);

            if (part) {
                fuzz_content(b, part, log, pos - piece->data);
            }

            break;

        case UPLOAD_MULTIPART_END:
            fuzz_event(log, event);
            break;

        case UPLOAD_MULTIPART_MALFORMED:
            check(mp->reason != NULL);
            fuzz_event(log, event);
            fuzz_value(log, mp->reason, strlen(mp->reason));

            check(upload_multipart_next(mp, &pos, last) == event);
            return 1;

        case UPLOAD_MULTIPART_HEADER_LIMIT:
            fuzz_event(log, event);

            check(upload_multipart_next(mp, &pos, last) == event);
            return 1;

        default:
            check(0);
        }
    }
}


/* one byte at a time, unless the input says other lengths */

static size_t
fuzz_cut(fuzz_body_t *b, size_t n)
{
    return b->cuts.len ? b->cuts.data[n % b->cuts.len] + 1 : 1;
}


/* an event, and how much content there was before it */

static void
fuzz_event(fuzz_log_t *log, upload_multipart_event_e event)
{
    fuzz_value(log, &event, sizeof(event));
    fuzz_value(log, &log->content, sizeof(log->content));
}


static void
fuzz_value(fuzz_log_t *log, const void *data, size_t len)
{
    check(sizeof(len) + len <= sizeof(log->events) - log->len);

    memcpy(log->events + log->len, &len, sizeof(len));
    log->len += sizeof(len);

    if (len) {
        memcpy(log->events + log->len, data, len);
        log->len += len;
    }
}


/* the first delimiter of all says how lines end */

static void
fuzz_first(fuzz_body_t *b, fuzz_part_t *part)
{
    size_t  i, len;

    i = fuzz_search(b, 0, 1, &len);
    check(i < b->body.len);

    i += len;
    check(b->body.data[i - 1] == LF);

    part->bare_lf = (b->body.data[i - 2] != CR);
}


static void
fuzz_content(fuzz_body_t *b, fuzz_part_t *part, fuzz_log_t *log, size_t end)
{
    size_t  i, len;

    i = fuzz_search(b, part->start, part->bare_lf, &len);

    check(i < b->body.len);
    check(i + len == end);
    check(i - part->start == log->content - part->content);
    check(memcmp(b->body.data + part->start, log->data + part->content,
                 i - part->start)
          == 0);
}


/* where the next delimiter begins, from the start of a line on */

static size_t
fuzz_search(fuzz_body_t *b, size_t start, int bare_lf, size_t *len)
{
    size_t  i;

    *len = fuzz_delimiter(b, start, 0, bare_lf);

    for (i = start; *len == 0 && i < b->body.len; i++) {
        *len = fuzz_delimiter(b, i, 1, bare_lf);

        if (*len) {
            break;
        }
    }

    return i;
}


/* the length of the delimiter that begins here, or 0 */

static size_t
fuzz_delimiter(fuzz_body_t *b, size_t start, int inside, int bare_lf)
{
    size_t                n;
    const unsigned char  *p, *last;

    p = b->body.data + start;
    last = b->body.data + b->body.len;

    if (inside) {

        if (p < last && *p == CR) {
            p++;

        } else if (!bare_lf) {
            return 0;
        }

        if (p == last || *p++ != LF) {
            return 0;
        }
    }

    if ((size_t) (last - p) < 2 + b->boundary.len
        || memcmp(p, "--", 2) != 0
        || memcmp(p + 2, b->boundary.data, b->boundary.len) != 0)
    {
        return 0;
    }

    p += 2 + b->boundary.len;

    if (last - p >= 2 && p[0] == '-' && p[1] == '-') {
        return p + 2 - (b->body.data + start);
    }

    for (n = 0; n < UPLOAD_MULTIPART_PADDING_MAX; n++) {

        if (p == last || (*p != ' ' && *p != '\t')) {
            break;
        }

        p++;
    }

    if (p < last && *p == CR) {
        p++;
    }

    if (p == last || *p != LF) {
        return 0;
    }

    return p + 1 - (b->body.data + start);
}
