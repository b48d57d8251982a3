
/*
 * The form that is passed on: after any sequence of calls it has the length
 * that was announced, keeps its limit, and a parser reads the same fields
 * out of it.
 *
 * Input: the limit, the boundary, LF, then calls: a byte that chooses, and
 * for a name or a value a byte with its length and its bytes.
 */


#define _GNU_SOURCE
#include <string.h>

#include "fuzz.h"
#include "upload_form.h"


/* the limit is a multiple of that, or none */
#define LIMIT       16

#define FIELDS_MAX  64

#define HEADER      "Content-Disposition: form-data; name=\"\""


typedef struct {
    unsigned char         *name;
    size_t                 name_len;
    unsigned char         *value;
    size_t                 len;
} fuzz_field_t;


/* the fields as they should be, with their values in one buffer */

typedef struct {
    fuzz_field_t           fields[FIELDS_MAX];
    size_t                 n;
    unsigned char          bytes[2 * FUZZ_INPUT_MAX];
    unsigned char         *last;
} fuzz_model_t;


static void fuzz_begin(upload_form_t *form, fuzz_model_t *m,
    upload_str_t *name);
static void fuzz_append(upload_form_t *form, fuzz_model_t *m,
    upload_str_t *value);
static int fuzz_too_large(upload_form_t *form, fuzz_model_t *m);
static size_t fuzz_size(fuzz_model_t *m, size_t boundary_len);
static size_t fuzz_escapes(fuzz_field_t *f);
static void fuzz_written(upload_form_t *form, fuzz_model_t *m,
    upload_str_t *boundary);
static void fuzz_parse(fuzz_model_t *m, upload_str_t *boundary,
    const unsigned char *text, size_t size);
static void fuzz_same_name(fuzz_field_t *f, upload_str_t *seen);


static fuzz_model_t  fuzz_model;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t               marked;
    unsigned             limit;
    fuzz_input_t         in;
    fuzz_model_t        *m;
    upload_str_t         s, boundary;
    upload_form_t        form;
    unsigned char       *marked_last;
    upload_form_mark_t   mark;

    if (size > FUZZ_INPUT_MAX) {
        return -1;
    }

    in.pos = data;
    in.last = data + size;

    limit = fuzz_byte(&in) * LIMIT;
    boundary = fuzz_line(&in);

    /* what no header can have, or what upload_part_boundary() refuses */

    if (boundary.len == 0 || boundary.len > UPLOAD_MULTIPART_BOUNDARY_MAX
        || memchr(boundary.data, '\r', boundary.len))
    {
        return -1;
    }

    m = &fuzz_model;
    m->n = 0;
    m->last = m->bytes;

    upload_form_init(&form, boundary.len, limit);

    mark = upload_form_mark(&form);
    marked = 0;
    marked_last = m->last;

    /* a value follows the name of its field, as upload_form.h says */

    while (in.pos < in.last && m->n < FIELDS_MAX) {

        switch (fuzz_byte(&in) % 4) {

        case 0:
            s = fuzz_take(&in, fuzz_byte(&in));
            fuzz_begin(&form, m, &s);
            break;

        case 1:
            s = fuzz_take(&in, fuzz_byte(&in));

            if (m->n > marked) {
                fuzz_append(&form, m, &s);
            }

            break;

        case 2:
            mark = upload_form_mark(&form);
            marked = m->n;
            marked_last = m->last;
            break;

        case 3:
            upload_form_rollback(&form, mark);
            m->n = marked;
            m->last = marked_last;
            break;
        }
    }

    fuzz_written(&form, m, &boundary);

    upload_form_free(&form);

    return 0;
}


static void
fuzz_begin(upload_form_t *form, fuzz_model_t *m, upload_str_t *name)
{
    size_t          i;
    fuzz_field_t   *f;
    unsigned char  *copy;

    f = &m->fields[m->n++];

    f->name = m->last;
    f->name_len = name->len;

    /* the parser refuses control characters, so that no name has them */

    for (i = 0; i < name->len; i++) {
        *m->last++ = fuzz_control(name->data[i]) ? '_' : name->data[i];
    }

    f->value = m->last;
    f->len = 0;

    copy = fuzz_copy(f->name, f->name_len);

    switch (upload_form_begin(form, copy, f->name_len)) {

    case UPLOAD_FORM_OK:
        check(!fuzz_too_large(form, m));
        break;

    case UPLOAD_FORM_TOO_LARGE:
        check(fuzz_too_large(form, m));
        m->last = f->name;
        m->n--;
        break;

    default:
        check(0);
    }

    free(copy);
}


static void
fuzz_append(upload_form_t *form, fuzz_model_t *m, upload_str_t *value)
{
    fuzz_field_t   *f;
    unsigned char  *copy;

    f = &m->fields[m->n - 1];
    copy = fuzz_copy(value->data, value->len);

    if (value->len) {
        memcpy(m->last, copy, value->len);
    }

    m->last += value->len;
    f->len += value->len;

    switch (upload_form_append(form, copy, value->len)) {

    case UPLOAD_FORM_OK:
        check(!fuzz_too_large(form, m));
        break;

    case UPLOAD_FORM_TOO_LARGE:
        check(fuzz_too_large(form, m));
        m->last -= value->len;
        f->len -= value->len;
        break;

    default:
        check(0);
    }

    free(copy);
}


static int
fuzz_too_large(upload_form_t *form, fuzz_model_t *m)
{
    return form->max && fuzz_size(m, form->boundary_len) > form->max;
}


static size_t
fuzz_size(fuzz_model_t *m, size_t boundary_len)
{
    size_t  i, size;

    size = m->n ? 0 : 2;

    for (i = 0; i < m->n; i++) {
        size += 2 + boundary_len + 2 + sizeof(HEADER) - 1 + 4
                + m->fields[i].name_len + fuzz_escapes(&m->fields[i])
                + m->fields[i].len + 2;
    }

    return size + 2 + boundary_len + 4;
}


/* the characters of a name that are escaped */

static size_t
fuzz_escapes(fuzz_field_t *f)
{
    size_t  i, n;

    for (i = 0, n = 0; i < f->name_len; i++) {
        if (f->name[i] == '"' || f->name[i] == '\\') {
            n++;
        }
    }

    return n;
}


static void
fuzz_written(upload_form_t *form, fuzz_model_t *m, upload_str_t *boundary)
{
    int             contains;
    size_t          i, size;
    fuzz_field_t   *f;
    unsigned char  *text;

    size = upload_form_size(form, boundary->len);
    check(size == fuzz_size(m, boundary->len));

    text = malloc(size);
    check(text != NULL);

    upload_form_write(form, boundary->data, boundary->len, text);
    check(memcmp(text + size - 4, "--\r\n", 4) == 0);

    contains = upload_form_contains(form, boundary->data, boundary->len);

    for (i = 0; i < m->n && !contains; i++) {
        f = &m->fields[i];

        check(!memmem(f->value, f->len, boundary->data, boundary->len));
    }

    /* otherwise a parser may see other fields: such a form is not passed on */

    if (!contains) {
        fuzz_parse(m, boundary, text, size);
    }

    free(text);
}


static void
fuzz_parse(fuzz_model_t *m, upload_str_t *boundary, const unsigned char *text,
    size_t size)
{
    void                      *memory;
    size_t                     n, len;
    upload_multipart_t         mp;
    const unsigned char       *pos;
    upload_multipart_event_e   event;

    memory = malloc(upload_multipart_memory(size));
    check(memory != NULL);

    upload_multipart_init(&mp, boundary, memory, size);

    pos = text;
    n = 0;
    len = 0;

    do {
        event = upload_multipart_next(&mp, &pos, text + size);

        switch (event) {

        case UPLOAD_MULTIPART_PART:
            check(n < m->n);
            check(mp.part.file_name.len == 0);
            check(mp.part.content_type.len == 0);
            fuzz_same_name(&m->fields[n], &mp.part.name);
            break;

        case UPLOAD_MULTIPART_DATA:
            check(mp.data.len <= m->fields[n].len - len);
            check(memcmp(m->fields[n].value + len, mp.data.data, mp.data.len)
                  == 0);
            len += mp.data.len;
            break;

        case UPLOAD_MULTIPART_PART_END:
            check(len == m->fields[n].len);
            len = 0;
            n++;
            break;

        default:
            check(event == UPLOAD_MULTIPART_END
                  || event == UPLOAD_MULTIPART_MORE);
        }

    } while (event != UPLOAD_MULTIPART_MORE);

    check(n == m->n);
    check(pos == text + size);
    check(upload_multipart_finish(&mp) == NULL);

    free(memory);
}


/*
 * Our own parser takes a backslash for itself unless a quote follows, so that
 * an escaped one stays two, and "%22" is a quote to it.
 */

static void
fuzz_same_name(fuzz_field_t *f, upload_str_t *seen)
{
    size_t                i;
    const unsigned char  *p, *last;

    p = seen->data;
    last = p + seen->len;

    for (i = 0; i < f->name_len; i++) {
        check(p < last);

        if (f->name_len - i > 2 && memcmp(f->name + i, "%22", 3) == 0) {
            check(*p++ == '"');
            i += 2;
            continue;
        }

        check(*p++ == f->name[i]);

        if (f->name[i] == '\\') {
            check(p < last && *p++ == '\\');
        }
    }

    check(p == last);
}
