
/*
 * The small multipart form that is passed on, see upload_form.h.
 */


#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "upload_form.h"


/* the first allocation: a form of one file with its usual fields */
#define UPLOAD_FORM_INITIAL  2048

#define UPLOAD_FORM_HEADER                                                    \
    "\r\nContent-Disposition: form-data; name=\""
#define UPLOAD_FORM_HEADER_END  "\"\r\n\r\n"

/* CRLF "--" boundary, and what follows the last one */
#define UPLOAD_FORM_DELIMITER   4
#define UPLOAD_FORM_CLOSE       4


static upload_form_e upload_form_reserve(upload_form_t *form, size_t len);
static unsigned char *upload_form_copy(unsigned char *p, const void *data,
    size_t len);


void
upload_form_init(upload_form_t *form, size_t boundary_len, size_t max)
{
    memset(form, 0, sizeof(upload_form_t));

    form->boundary_len = boundary_len;
    form->max = max;
}


void
upload_form_free(upload_form_t *form)
{
    free(form->data);
    form->data = NULL;
    form->size = 0;
    form->len = 0;
    form->fields = 0;
}


upload_form_e
upload_form_begin(upload_form_t *form, const void *name, size_t len)
{
    size_t                i;
    unsigned char        *p;
    upload_form_e         rc;
    const unsigned char  *s;
    upload_form_field_t   field;

    s = name;

    field.len = len;
    field.value_len = 0;

    for (i = 0; i < len; i++) {
        if (s[i] == '"' || s[i] == '\\') {
            field.len++;
        }
    }

    form->fields++;

    rc = upload_form_reserve(form, sizeof(upload_form_field_t) + field.len);
    if (rc != UPLOAD_FORM_OK) {
        form->fields--;
        return rc;
    }

    form->open = form->len;

    p = upload_form_copy(form->data + form->len, &field, sizeof(field));

    for (i = 0; i < len; i++) {
        if (s[i] == '"' || s[i] == '\\') {
            *p++ = '\\';
        }

        *p++ = s[i];
    }

    form->len = p - form->data;

    return UPLOAD_FORM_OK;
}


upload_form_e
upload_form_append(upload_form_t *form, const void *data, size_t len)
{
    upload_form_e        rc;
    upload_form_field_t  field;

    rc = upload_form_reserve(form, len);
    if (rc != UPLOAD_FORM_OK) {
        return rc;
    }

    (void) upload_form_copy(form->data + form->len, data, len);
    form->len += len;

    memcpy(&field, form->data + form->open, sizeof(field));
    field.value_len += len;
    memcpy(form->data + form->open, &field, sizeof(field));

    return UPLOAD_FORM_OK;
}


upload_form_mark_t
upload_form_mark(const upload_form_t *form)
{
    upload_form_mark_t  mark;

    mark.len = form->len;
    mark.fields = form->fields;

    return mark;
}


void
upload_form_rollback(upload_form_t *form, upload_form_mark_t mark)
{
    form->len = mark.len;
    form->fields = mark.fields;
}


int
upload_form_contains(const upload_form_t *form, const void *boundary,
    size_t len)
{
    return form->len
           && memmem(form->data, form->len, boundary, len) != NULL;
}


size_t
upload_form_size(const upload_form_t *form, size_t boundary_len)
{
    size_t  each;

    each = UPLOAD_FORM_DELIMITER + boundary_len
           + sizeof(UPLOAD_FORM_HEADER) - 1
           + sizeof(UPLOAD_FORM_HEADER_END) - 1;

    /* the first delimiter has no line end in front of it */

    return form->fields * each + form->len
           - form->fields * sizeof(upload_form_field_t)
           + UPLOAD_FORM_DELIMITER + boundary_len + UPLOAD_FORM_CLOSE
           - (form->fields ? 2 : 0);
}


void
upload_form_write(const upload_form_t *form, const void *boundary, size_t len,
    unsigned char *out)
{
    const unsigned char  *p, *last;
    upload_form_field_t   field;

    p = form->data;
    last = p ? p + form->len : NULL;    /* NULL: nothing was ever added */

    while (p < last) {
        memcpy(&field, p, sizeof(field));

        if (p != form->data) {
            out = upload_form_copy(out, "\r\n", 2);
        }

        p += sizeof(field);

        out = upload_form_copy(out, "--", 2);
        out = upload_form_copy(out, boundary, len);
        out = upload_form_copy(out, UPLOAD_FORM_HEADER,
                               sizeof(UPLOAD_FORM_HEADER) - 1);
        out = upload_form_copy(out, p, field.len);
        out = upload_form_copy(out, UPLOAD_FORM_HEADER_END,
                               sizeof(UPLOAD_FORM_HEADER_END) - 1);
        out = upload_form_copy(out, p + field.len, field.value_len);

        p += field.len + field.value_len;
    }

    out = upload_form_copy(out, "\r\n--", 4);
    out = upload_form_copy(out, boundary, len);
    (void) upload_form_copy(out, "--\r\n", 4);
}


/* room for so many bytes more, within the limit of the written form */

static upload_form_e
upload_form_reserve(upload_form_t *form, size_t len)
{
    size_t          size;
    unsigned char  *data;

    if (form->max) {
        size = upload_form_size(form, form->boundary_len);

        if (len > form->max || size > form->max - len) {
            return UPLOAD_FORM_TOO_LARGE;
        }
    }

    if (len <= form->size - form->len) {
        return UPLOAD_FORM_OK;
    }

    size = form->size ? form->size : UPLOAD_FORM_INITIAL;

    while (size - form->len < len) {
        size *= 2;
    }

    data = realloc(form->data, size);
    if (data == NULL) {
        return UPLOAD_FORM_NO_MEMORY;
    }

    form->data = data;
    form->size = size;

    return UPLOAD_FORM_OK;
}


static unsigned char *
upload_form_copy(unsigned char *p, const void *data, size_t len)
{
    if (len) {
        memcpy(p, data, len);
    }

    return p + len;
}
