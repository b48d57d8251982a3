
/*
 * The boundary of a request's Content-Type: values as they come, and values
 * that were made for a boundary, which has to come back.
 *
 * Input: a byte that chooses; then the value, or a line that is the boundary
 * and what a parameter before it or behind it has.
 */


#include "fuzz.h"
#include "upload_part_header.h"


#define QUOTED  2
#define BEHIND  4


static void fuzz_value(fuzz_input_t *in);
static void fuzz_boundary(fuzz_input_t *in, unsigned choice);
static unsigned char *fuzz_write(unsigned char *p, upload_str_t *s,
    int quoted);
static void fuzz_body(upload_str_t *boundary);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned      choice;
    fuzz_input_t  in;

    if (size > FUZZ_INPUT_MAX) {
        return -1;
    }

    in.pos = data;
    in.last = data + size;

    choice = fuzz_byte(&in);

    if (choice & 1) {
        fuzz_boundary(&in, choice);

    } else {
        fuzz_value(&in);
    }

    return 0;
}


static void
fuzz_value(fuzz_input_t *in)
{
    upload_str_t    s, boundary;
    unsigned char  *type;

    s = fuzz_take(in, SIZE_MAX);
    type = fuzz_copy(s.data, s.len);

    if (upload_part_boundary(type, s.len, &boundary) == UPLOAD_BOUNDARY_OK) {
        check(boundary.len > 0);
        check(boundary.len <= UPLOAD_MULTIPART_BOUNDARY_MAX);
        check(boundary.data > type);
        check(boundary.data + boundary.len <= type + s.len);

        if (boundary.data[-1] == '"') {
            check(!memchr(boundary.data, '"', boundary.len));

        } else {
            check(!memchr(boundary.data, ';', boundary.len));
            check(!memchr(boundary.data, ' ', boundary.len));
            check(!memchr(boundary.data, '\t', boundary.len));
        }

        fuzz_body(&boundary);
    }

    free(type);
}


static void
fuzz_boundary(fuzz_input_t *in, unsigned choice)
{
    int                 quoted;
    size_t              start;
    upload_str_t        s, other, boundary;
    unsigned char      *p, *type, text[2 * FUZZ_INPUT_MAX];
    upload_boundary_e   rc;

    s = fuzz_line(in);
    other = fuzz_take(in, SIZE_MAX);
    quoted = choice & QUOTED;

    p = text + sprintf((char *) text, "Multipart/Form-Data");

    if (!(choice & BEHIND)) {
        p += sprintf((char *) p, "; x=\"");
        p = fuzz_write(p, &other, 1);
        *p++ = '"';
    }

    p += sprintf((char *) p, "; boundary=%s", quoted ? "\"" : "");
    start = p - text;
    p = fuzz_write(p, &s, quoted);
    p += sprintf((char *) p, "%s", quoted ? "\"" : "");

    /* nobody looks at it any more, whatever it is */

    if (choice & BEHIND) {
        *p++ = ';';
        memcpy(p, other.data, other.len);
        p += other.len;
    }

    type = fuzz_copy(text, p - text);
    rc = upload_part_boundary(type, p - text, &boundary);

    if (s.len == 0) {
        check(rc == UPLOAD_BOUNDARY_MISSING);

    } else if (s.len > UPLOAD_MULTIPART_BOUNDARY_MAX) {
        check(rc == UPLOAD_BOUNDARY_TOO_LONG);

    } else {
        check(rc == UPLOAD_BOUNDARY_OK);
        check(boundary.data == type + start);
        check(fuzz_same(&boundary, text + start, s.len));
    }

    free(type);
}


/* a quoted value has no quote, another one nothing that would end it */

static unsigned char *
fuzz_write(unsigned char *p, upload_str_t *s, int quoted)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (c == '"' || (!quoted && (c == ' ' || c == '\t' || c == ';'))) {
            c = '_';
        }

        *p++ = c;
    }

    return p;
}


/* the parser finds it in a body */

static void
fuzz_body(upload_str_t *boundary)
{
    size_t                len;
    unsigned char        *body, memory[3];
    upload_multipart_t    mp;
    const unsigned char  *pos;

    /* no header field can have them */

    if (memchr(boundary->data, '\r', boundary->len)
        || memchr(boundary->data, '\n', boundary->len))
    {
        return;
    }

    check(upload_multipart_memory(0) <= sizeof(memory));

    len = 2 + boundary->len + 2;
    body = malloc(len);
    check(body != NULL);

    memcpy(body, "--", 2);
    memcpy(body + 2, boundary->data, boundary->len);
    memcpy(body + len - 2, "--", 2);

    upload_multipart_init(&mp, boundary, memory, 0);
    pos = body;

    check(upload_multipart_next(&mp, &pos, body + len)
          == UPLOAD_MULTIPART_END);
    check(pos == body + len);
    check(upload_multipart_finish(&mp) == NULL);

    free(body);
}
