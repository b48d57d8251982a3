
/*
 * The small multipart form that is passed on instead of the request body.
 *
 * Fields are collected first and written out at the end, because only then
 * is it known whether the client's boundary occurs in one of them.
 */


#ifndef _UPLOAD_FORM_H_INCLUDED_
#define _UPLOAD_FORM_H_INCLUDED_


#include <stddef.h>


typedef struct {
    size_t           len;           /* of the name, escaped */
    size_t           value_len;
} upload_form_field_t;


typedef struct {
    unsigned char   *data;          /* field, name, value; field, ... */
    size_t           len;
    size_t           size;
    size_t           fields;
    size_t           open;          /* offset of the field being written */
    size_t           max;           /* of the bytes written out; 0: any */
    size_t           boundary_len;
} upload_form_t;


typedef struct {
    size_t           len;
    size_t           fields;
} upload_form_mark_t;


typedef enum {
    UPLOAD_FORM_OK = 0,
    UPLOAD_FORM_TOO_LARGE,
    UPLOAD_FORM_NO_MEMORY
} upload_form_e;


void upload_form_init(upload_form_t *form, size_t boundary_len, size_t max);
void upload_form_free(upload_form_t *form);

/* begin a field, then append to its value as often as needed */
upload_form_e upload_form_begin(upload_form_t *form, const void *name,
    size_t len);
upload_form_e upload_form_append(upload_form_t *form, const void *data,
    size_t len);

/* what was added after a mark can be taken back */
upload_form_mark_t upload_form_mark(const upload_form_t *form);
void upload_form_rollback(upload_form_t *form, upload_form_mark_t mark);

/* whether a parser could take something in a field for the delimiter */
int upload_form_contains(const upload_form_t *form, const void *boundary,
    size_t len);

/* bytes of the form with such a boundary, and the form itself */
size_t upload_form_size(const upload_form_t *form, size_t boundary_len);
void upload_form_write(const upload_form_t *form, const void *boundary,
    size_t len, unsigned char *out);


#endif /* _UPLOAD_FORM_H_INCLUDED_ */
