
/*
 * The header lines of a part: lines as they come, which must not depend on
 * what their buffers held before, and a line that a browser would write, of
 * which the names have to come back.
 *
 * Input: a byte that chooses; then lines, or two lines that are the name of
 * a field and of a file.
 */


#include "fuzz.h"
#include "upload_part_header.h"


/* lines of one part */
#define LINES_MAX  16


typedef struct {
    upload_part_t    part;
    const char      *reason;
    unsigned char   *out[LINES_MAX * 2];
    size_t           n;
} fuzz_part_t;


static void fuzz_lines(fuzz_input_t *in);
static void fuzz_part(fuzz_part_t *p, fuzz_input_t in, int fill);
static void fuzz_part_free(fuzz_part_t *p);
static void fuzz_browser(fuzz_input_t *in);
static unsigned char *fuzz_write(unsigned char *p, const char *before,
    upload_str_t *s);
static upload_str_t fuzz_expected(unsigned char *p, upload_str_t *s);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input_t  in;

    if (size > FUZZ_INPUT_MAX) {
        return -1;
    }

    in.pos = data;
    in.last = data + size;

    if (fuzz_byte(&in) & 1) {
        fuzz_browser(&in);

    } else {
        fuzz_lines(&in);
    }

    return 0;
}


static void
fuzz_lines(fuzz_input_t *in)
{
    fuzz_part_t     one, two;
    upload_part_t  *part;

    fuzz_part(&one, *in, '0');
    fuzz_part(&two, *in, ';');

    part = &one.part;

    check(one.reason == two.reason);

    if (one.reason == NULL) {
        check(fuzz_same(&part->name, two.part.name.data, two.part.name.len));
        check(fuzz_same(&part->file_name, two.part.file_name.data,
                        two.part.file_name.len));
        check(fuzz_same(&part->content_type, two.part.content_type.data,
                        two.part.content_type.len));

        check(!fuzz_has_control(&part->name, 0));
        check(!fuzz_has_control(&part->file_name, 0));
        check(!fuzz_has_control(&part->content_type, 1));

        if (part->file_name.len) {
            check(!memchr(part->file_name.data, '/', part->file_name.len));
            check(!memchr(part->file_name.data, '\\', part->file_name.len));
        }

        if (!part->disposition) {
            check(part->name.len == 0);
            check(part->file_name.len == 0);
        }
    }

    fuzz_part_free(&one);
    fuzz_part_free(&two);
}


static void
fuzz_part(fuzz_part_t *p, fuzz_input_t in, int fill)
{
    size_t          i;
    upload_str_t    s;
    unsigned char  *line, **out;

    memset(p, 0, sizeof(fuzz_part_t));

    while (p->n < LINES_MAX * 2 && in.pos < in.last && p->reason == NULL) {
        s = fuzz_line(&in);
        line = fuzz_copy(s.data, s.len);

        /* no value is longer than its line */

        out = &p->out[p->n];
        p->n += 2;

        for (i = 0; i < 2; i++) {
            out[i] = malloc(s.len ? s.len : 1);
            check(out[i] != NULL);
            memset(out[i], fill, s.len);
        }

        p->reason = upload_part_header(&p->part, line, s.len, out[0], out[1]);

        /* what was found does not lie in the line */

        free(line);
    }
}


static void
fuzz_part_free(fuzz_part_t *p)
{
    size_t  i;

    for (i = 0; i < p->n; i++) {
        free(p->out[i]);
    }
}


static void
fuzz_browser(fuzz_input_t *in)
{
    const char     *reason;
    upload_str_t    name, file_name, s;
    upload_part_t   part;
    unsigned char  *line, *p, *copy, *out, expected[FUZZ_INPUT_MAX];

    name = fuzz_line(in);
    file_name = fuzz_line(in);

    /* a quote takes three bytes */

    line = malloc(100 + 3 * (name.len + file_name.len));
    check(line != NULL);

    p = fuzz_write(line, "Content-Disposition: form-data; name=\"", &name);

    /* a backslash before the quote that ends a name: see fuzz_expected() */

    if (p[-1] == '\\') {
        p[-1] = '_';
    }

    p = fuzz_write(p, "\"; filename=\"", &file_name);
    *p++ = '"';

    copy = fuzz_copy(line, p - line);
    out = malloc(p - line);
    check(out != NULL);

    memset(&part, 0, sizeof(upload_part_t));
    reason = upload_part_header(&part, copy, p - line, out, NULL);

    check(reason == NULL);
    check(part.disposition);

    s = fuzz_expected(expected, &name);

    if (s.len && expected[s.len - 1] == '\\') {
        expected[s.len - 1] = '_';
    }

    check(fuzz_same(&part.name, s.data, s.len));

    s = fuzz_expected(expected, &file_name);

    for (p = expected + s.len; p > expected; p--) {
        if (p[-1] == '/' || p[-1] == '\\') {
            break;
        }
    }

    check(fuzz_same(&part.file_name, p, expected + s.len - p));

    free(line);
    free(copy);
    free(out);
}


/* as browsers do; other control characters cannot be written at all */

static unsigned char *
fuzz_write(unsigned char *p, const char *before, upload_str_t *s)
{
    size_t  i;

    memcpy(p, before, strlen(before));
    p += strlen(before);

    for (i = 0; i < s->len; i++) {

        if (s->data[i] == '"') {
            memcpy(p, "%22", 3);
            p += 3;
            continue;
        }

        *p++ = fuzz_control(s->data[i]) ? '_' : s->data[i];
    }

    return p;
}


/*
 * The name itself, but for "%22", which nobody can tell from a quote.  Nor
 * can anybody tell a backslash at its end from one that escapes the quote
 * behind it, if another quote follows: the caller replaces that one.
 */

static upload_str_t
fuzz_expected(unsigned char *p, upload_str_t *s)
{
    size_t        i;
    upload_str_t  expected;

    expected.data = p;

    for (i = 0; i < s->len; i++) {

        if (s->len - i > 2 && memcmp(s->data + i, "%22", 3) == 0) {
            *p++ = '"';
            i += 2;
            continue;
        }

        *p++ = fuzz_control(s->data[i]) ? '_' : s->data[i];
    }

    expected.len = p - expected.data;

    return expected;
}
