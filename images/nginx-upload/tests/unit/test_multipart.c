
/*
 * The multipart parser: what it makes of a body, and that this does not
 * depend on how the body was cut.
 */


#include "unit.h"
#include "upload_multipart.h"


/* long enough for every sample, short enough to reach the limit in one */
#define HEADER_MAX  100

/* random chunkings of each sample */
#define ROUNDS      2000


typedef struct {
    const char  *body;
    size_t       len;
    const char  *events;
} sample_t;


#define sample(body, events)  { body, sizeof(body) - 1, events }


/*
 * Events are written as "part name/file name/type;", data as they are, then
 * "|" at the end of the part, "." at the final delimiter, "!" for an error,
 * and at the end of the body "=" when it is complete, "?" when it is not.
 */

static sample_t  samples[] = {

    sample("", "?"),
    sample("no delimiter", "?"),
    sample("--b", "?"),
    sample("--b-", "?"),
    sample("--b--", ".="),
    sample("--b--\r\nepilogue\r\n--b\r\n\r\nx", ".="),
    sample("--b\r\n", "="),
    sample("--b\n", "="),
    sample("--b\r", "?"),
    sample("--b \t\r\n", "="),
    sample("--b\r\n\r\n", "part //;?"),
    sample("--b\r\n\r\n--b--", "part //;|.="),
    sample("--b\r\n\r\n\r\n--b--", "part //;|.="),
    sample("--b\r\n\r\nx\r\n--b--", "part //;x|.="),
    sample("--b\r\n\r\nx\r\n--b", "part //;x?"),
    sample("--b\r\n\r\nx\r\n--b\r\n", "part //;x|="),
    sample("--b\r\n\r\nx\r\n--b\n", "part //;x|="),
    sample("--b\r\n\r\nx--b--", "part //;x--b--?"),
    sample("pre\r\n--b\r\n\r\nx\r\n--b--", "part //;x|.="),
    sample("pre\n--b\r\n\r\nx\r\n--b--", "part //;x|.="),
    sample("\r\n--b\r\n\r\nx\r\n--b--", "part //;x|.="),
    sample("pre--b\r\n--b \r\n\r\nx\r\n--b--", "part //;x|.="),
    sample("--bx\r\n--b-x\n\n--b\r\n\r\nx\r\n--b--", "part //;x|.="),

    /* content that only looks like a delimiter */
    sample("--b\r\n\r\n\n--b\r\n\r\n--b--", "part //;\n--b\r\n|.="),
    sample("--b\r\n\r\na\n--b--\r\n--b--", "part //;a\n--b--|.="),
    sample("--b\r\n\r\n\r\n--bb\r\n--b--", "part //;\r\n--bb|.="),
    sample("--b\r\n\r\n\r\n--b-\r\n--b--", "part //;\r\n--b-|.="),
    sample("--b\r\n\r\n\r\n--b --\r\n--b--", "part //;\r\n--b --|.="),
    sample("--b\r\n\r\n\r\r\n\r\r\n--b--", "part //;\r\r\n\r|.="),
    sample("--b\r\n\r\n\r\n--b\r\r\n--b--", "part //;\r\n--b\r|.="),
    sample("--b\r\n\r\n\r\n--b\r\r\n--b\r\r\n--b--",
           "part //;\r\n--b\r\r\n--b\r|.="),
    sample("--b\r\n\r\n\r\n-\r\n--\r\n--a\r\n--b--",
           "part //;\r\n-\r\n--\r\n--a|.="),
    sample("--b\r\n\r\n--\r\n--b--", "part //;--|.="),
    sample("--b\r\n\r\n--bx\r\n--b--", "part //;--bx|.="),
    sample("--b\r\n\r\n\r\n--b                                "
           "                                 \r\n--b--",
           "part //;\r\n--b                                "
           "                                 |.="),
    sample("--b\r\n\r\n\r\n--b                                "
           "                                \r\n",
           "part //;|="),

    /* bare LF, where the body's own delimiters use it */
    sample("--b\n\nx\n--b--", "part //;x|.="),
    sample("--b\n\nx\r\n--b--", "part //;x|.="),
    sample("--b\n\nx\r\r\n--b\n\n\r\ny\r\n--b--",
           "part //;x\r|part //;\r\ny|.="),
    sample("--b\n\n\r\n-\n--\r\n\n--b--", "part //;\r\n-\n--\r\n|.="),
    sample("--b\n\n\r\r\n--b\r\n\n\r\n--b--", "part //;\r|part //;|.="),

    /* headers */
    sample("--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n"
           "v\r\n--b--", "part n//;v|.="),
    sample("--b\r\ncontent-disposition:form-data;name=n;filename=f\r\n"
           "CONTENT-TYPE :  a/b ; c \r\nX: y\r\n\r\nv\r\n--b\r\n\r\n--b--",
           "part n/f/a/b ; c;v|part //;|.="),
    sample("--b\nContent-Disposition: form-data;\n name=n;\n\tfilename=f\n"
           "Content-Type:\n a/b\n\nv\n--b--", "part n/f/a/b;v|.="),
    sample("--b\r\nContent-Disposition: form-data; name=n\r\n", "?"),
    sample("--b\r\nContent-Disposition: form-data; name=n", "?"),
    sample("--b\r\nContent-Disposition: form-data; name=n\r\n\r", "?"),
    sample("--b\r\n \r\n\r\nv\r\n--b--", "part //;v|.="),
    sample("--b\r\nContent-Disposition: inline\r\n\r\nv\r\n--b--", "!"),
    sample("--b\r\n\r\nv\r\n--b\r\nContent-Type:\r\n\r\nv", "part //;v|!"),
    sample("--b\r\nX: 567890123456789012345678901234567890123456789012345678"
           "9012345678901234567890123456789012345678901\r\n\r\nv\r\n--b--",
           "part //;v|.="),
    sample("--b\r\nX: 567890123456789012345678901234567890123456789012345678"
           "90123456789012345678901234567890123456789012\r\n\r\nv\r\n--b--",
           "!"),
    sample("--b\r\nX: 5678901234567890123456789012345678901234567890\r\n"
           " 5678901234567890123456789012345678901234567890123456789\r\n\r\n",
           "!"),
};


/* feeds the body in pieces that end where cut() says */

typedef size_t (*cut_pt)(size_t pos, size_t len, size_t arg);


static char *
parse(const char *body, size_t len, cut_pt cut, size_t arg)
{
    char                      *out;
    FILE                      *f;
    size_t                     size, start, end, max;
    void                      *memory;
    upload_str_t               boundary;
    unsigned char             *piece;
    const unsigned char       *pos;
    upload_multipart_t         mp;
    upload_multipart_event_e   event;

    boundary.data = (const unsigned char *) "b";
    boundary.len = 1;

    max = HEADER_MAX;
    memory = malloc(upload_multipart_memory(max));
    upload_multipart_init(&mp, &boundary, memory, max);

    f = open_memstream(&out, &size);
    event = UPLOAD_MULTIPART_MORE;

    for (start = 0; start < len; start = end) {
        end = cut(start, len, arg);

        /* a copy of its own: the sanitizer sees what is read beyond it */
        piece = malloc(end - start);
        memcpy(piece, body + start, end - start);
        pos = piece;

        for ( ;; ) {
            event = upload_multipart_next(&mp, &pos, piece + (end - start));

            switch (event) {

            case UPLOAD_MULTIPART_MORE:
                check(pos == piece + (end - start));
                break;

            case UPLOAD_MULTIPART_PART:
                fprintf(f, "part %.*s/%.*s/%.*s;",
                        (int) mp.part.name.len, mp.part.name.data,
                        (int) mp.part.file_name.len, mp.part.file_name.data,
                        (int) mp.part.content_type.len,
                        mp.part.content_type.data);
                continue;

            case UPLOAD_MULTIPART_DATA:
                check(mp.data.len > 0);
                fwrite(mp.data.data, 1, mp.data.len, f);
                continue;

            case UPLOAD_MULTIPART_PART_END:
                fputc('|', f);
                continue;

            case UPLOAD_MULTIPART_END:
                fputc('.', f);
                continue;

            case UPLOAD_MULTIPART_MALFORMED:
                check(mp.reason != NULL);
                /* fall through */

            case UPLOAD_MULTIPART_HEADER_LIMIT:
                /* once failed, always failed */
                check(upload_multipart_next(&mp, &pos, piece + (end - start))
                      == event);
                break;
            }

            break;
        }

        free(piece);

        if (event != UPLOAD_MULTIPART_MORE) {
            break;
        }
    }

    fputc(event != UPLOAD_MULTIPART_MORE ? '!'
          : upload_multipart_finish(&mp) ? '?' : '=', f);

    fclose(f);
    free(memory);

    return out;
}


static size_t
cut_never(size_t pos, size_t len, size_t arg)
{
    (void) pos;
    (void) arg;

    return len;
}


static size_t
cut_every(size_t pos, size_t len, size_t arg)
{
    return pos + arg < len ? pos + arg : len;
}


static size_t
cut_at(size_t pos, size_t len, size_t arg)
{
    return pos < arg ? arg : len;
}


static size_t
cut_anywhere(size_t pos, size_t len, size_t arg)
{
    (void) arg;

    return pos + 1 + rand() % (len - pos);
}


static void
expect(const char *body, size_t len, const char *events, cut_pt cut,
    size_t arg)
{
    char  *seen;

    seen = parse(body, len, cut, arg);

    if (strcmp(seen, events) != 0) {
        fprintf(stderr, "body:     %.*s\ncut:      %zu\nexpected: %s\n"
                "seen:     %s\n", (int) len, body, arg, events, seen);
        exit(1);
    }

    free(seen);
}


/* a body of random pieces that delimiters are made of */

static void
expect_same_for_random_bodies(void)
{
    char         body[400], *whole;
    size_t       i, j, len;
    const char  *piece;

    static const char  *pieces[] = {
        "\r", "\n", "\r\n", "-", "--", "--b", "\r\n--b", "\n--b", "b", "x",
        " ", "\r\n\r\n", "--b--", "\r\n--b\r\n\r\n", "\n--b\n\n"
    };

    for (i = 0; i < ROUNDS * 10; i++) {
        strcpy(body, i % 2 ? "--b\r\n\r\n" : "--b\n\n");

        for (j = rand() % 20; j; j--) {
            piece = pieces[rand() % (sizeof(pieces) / sizeof(pieces[0]))];
            strcat(body, piece);
        }

        len = strlen(body);
        whole = parse(body, len, cut_never, 0);
        expect(body, len, whole, cut_every, 1);
        expect(body, len, whole, cut_every, 2);
        expect(body, len, whole, cut_anywhere, 0);
        free(whole);
    }
}


int
main(void)
{
    size_t     i, j, n;
    sample_t  *s;

    srand(1);

    n = sizeof(samples) / sizeof(samples[0]);

    for (i = 0; i < n; i++) {
        s = &samples[i];

        expect(s->body, s->len, s->events, cut_never, 0);

        for (j = 1; j <= s->len; j++) {
            expect(s->body, s->len, s->events, cut_at, j);
            expect(s->body, s->len, s->events, cut_every, j);
        }

        for (j = 0; s->len && j < ROUNDS / 10; j++) {
            expect(s->body, s->len, s->events, cut_anywhere, j);
        }
    }

    expect_same_for_random_bodies();

    printf("%zu bodies\n", n);

    return 0;
}
