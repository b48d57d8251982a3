
/*
 * The $upload_* variables.  They describe the latest file of the request and
 * can be read anywhere: without an upload they are empty.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_size_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_offset_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_kept_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_range_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_digest_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static unsigned ngx_http_upload_text_digests(ngx_str_t *text);
static ngx_http_upload_file_t *ngx_http_upload_variable_file(
    ngx_http_request_t *r, ngx_http_variable_value_t *v);
static ngx_http_variable_t *ngx_http_upload_find_variable(ngx_str_t *text,
    ngx_str_t *name, u_char **p);


/* the kind of a digest, and whether its letters are upper-case */

#define NGX_HTTP_UPLOAD_UPPER  0x100

#define ngx_http_upload_digest(name, kind)                                    \
    { ngx_string("upload_file_" name), NULL, ngx_http_upload_digest_variable, \
      kind, NGX_HTTP_VAR_NOCACHEABLE, 0 },                                    \
    { ngx_string("upload_file_" name "_uc"), NULL,                            \
      ngx_http_upload_digest_variable, (kind)|NGX_HTTP_UPLOAD_UPPER,          \
      NGX_HTTP_VAR_NOCACHEABLE, 0 }


static ngx_http_variable_t  ngx_http_upload_variables[] = {

    { ngx_string("upload_field_name"), NULL, ngx_http_upload_string_variable,
      offsetof(ngx_http_upload_file_t, field_name),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_file_name"), NULL, ngx_http_upload_string_variable,
      offsetof(ngx_http_upload_file_t, file_name),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_content_type"), NULL, ngx_http_upload_string_variable,
      offsetof(ngx_http_upload_file_t, content_type),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_tmp_path"), NULL, ngx_http_upload_string_variable,
      offsetof(ngx_http_upload_file_t, path),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_file_number"), NULL, ngx_http_upload_number_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_file_size"), NULL, ngx_http_upload_size_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_file_offset"), NULL, ngx_http_upload_offset_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_file_kept"), NULL, ngx_http_upload_kept_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_content_range"), NULL, ngx_http_upload_range_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    ngx_http_upload_digest("crc32", UPLOAD_DIGEST_CRC32),
    ngx_http_upload_digest("md5", UPLOAD_DIGEST_MD5),
    ngx_http_upload_digest("sha1", UPLOAD_DIGEST_SHA1),
    ngx_http_upload_digest("sha256", UPLOAD_DIGEST_SHA256),
    ngx_http_upload_digest("sha512", UPLOAD_DIGEST_SHA512),

    { ngx_string("upload_error"), NULL, ngx_http_upload_error_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_upload_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_upload_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* whether a directive's text mentions a variable known at a file's end only */

ngx_uint_t
ngx_http_upload_aggregate_variable(ngx_str_t *text, ngx_str_t *name)
{
    u_char               *p;
    ngx_http_variable_t  *v;

    p = text->data;

    while ((v = ngx_http_upload_find_variable(text, name, &p)) != NULL) {

        if (v->get_handler == ngx_http_upload_size_variable
            || v->get_handler == ngx_http_upload_digest_variable)
        {
            return 1;
        }
    }

    return 0;
}


/* the kinds of digests that the fields of a form, or headers, need */

unsigned
ngx_http_upload_digests(ngx_array_t *pairs)
{
    unsigned                 kinds;
    ngx_uint_t               i;
    ngx_http_upload_pair_t  *pair;

    kinds = 0;

    if (pairs == NULL) {
        return 0;
    }

    pair = pairs->elts;

    for (i = 0; i < pairs->nelts; i++) {
        kinds |= ngx_http_upload_text_digests(&pair[i].name.value)
                 | ngx_http_upload_text_digests(&pair[i].value.value);
    }

    return kinds;
}


static unsigned
ngx_http_upload_text_digests(ngx_str_t *text)
{
    u_char               *p;
    unsigned              kinds;
    ngx_str_t             name;
    ngx_http_variable_t  *v;

    kinds = 0;
    p = text->data;

    while ((v = ngx_http_upload_find_variable(text, &name, &p)) != NULL) {

        if (v->get_handler == ngx_http_upload_digest_variable) {
            kinds |= 1 << (v->data & ~(uintptr_t) NGX_HTTP_UPLOAD_UPPER);
        }
    }

    return kinds;
}


/* the next variable of ours in a text, from *p on */

static ngx_http_variable_t *
ngx_http_upload_find_variable(ngx_str_t *text, ngx_str_t *name, u_char **p)
{
    u_char               *s, *last;
    ngx_http_variable_t  *v;

    last = text->data + text->len;
    s = *p;

    while (s < last) {

        if (*s++ != '$') {
            continue;
        }

        if (s < last && *s == '{') {
            s++;
        }

        name->data = s;

        while (s < last && (*s == '_' || (*s >= 'a' && *s <= 'z')
                            || (*s >= '0' && *s <= '9')))
        {
            s++;
        }

        name->len = s - name->data;

        for (v = ngx_http_upload_variables; v->name.len; v++) {

            if (v->name.len == name->len
                && ngx_strncmp(v->name.data, name->data, name->len) == 0)
            {
                *p = s;
                return v;
            }
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_upload_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t               *s;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file) {
        s = (ngx_str_t *) ((u_char *) file + data);

        v->data = s->data;
        v->len = s->len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file) {
        p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        v->data = p;
        v->len = ngx_sprintf(p, "%ui", file->number) - p;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_size_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file && file->complete) {
        p = ngx_pnalloc(r->pool, NGX_OFF_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        v->data = p;
        v->len = ngx_sprintf(p, "%O", file->size) - p;
    }

    return NGX_OK;
}


/* where this request began to write */

static ngx_int_t
ngx_http_upload_offset_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file) {
        p = ngx_pnalloc(r->pool, NGX_OFF_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        v->data = p;
        v->len = ngx_sprintf(p, "%O", file->offset) - p;
    }

    return NGX_OK;
}


/* where the next append goes on, whatever became of this one */

static ngx_int_t
ngx_http_upload_kept_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    ngx_http_upload_ctx_t  *ctx;

    (void) ngx_http_upload_variable_file(r, v);

    ctx = ngx_http_upload_get_ctx(r);

    if (ctx && !ctx->working && ctx->append && ctx->append->kept >= 0) {
        p = ngx_pnalloc(r->pool, NGX_OFF_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        v->data = p;
        v->len = ngx_sprintf(p, "%O", ctx->append->kept) - p;
    }

    return NGX_OK;
}


/* a form has no ranges: its files count what has come so far */

static ngx_int_t
ngx_http_upload_range_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_http_upload_ctx_t   *ctx;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file == NULL) {
        return NGX_OK;
    }

    ctx = ngx_http_upload_get_ctx(r);

    p = ngx_pnalloc(r->pool, sizeof("bytes -/") - 1 + 3 * NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    if (ctx->segment && ctx->segment->total) {
        v->len = ngx_sprintf(p, "bytes %O-%O/%O", ctx->segment->first,
                             ctx->segment->last, ctx->segment->total)
                 - p;

    } else {
        v->len = ngx_sprintf(p, "bytes 0-%O/%O", ctx->queued, ctx->queued) - p;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_digest_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    size_t                   i;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file == NULL || !file->complete || file->digest == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, UPLOAD_DIGEST_HEX_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = upload_digest_hex(file->digest, data & ~(uintptr_t)
                                             NGX_HTTP_UPLOAD_UPPER, p);

    if (data & NGX_HTTP_UPLOAD_UPPER) {

        for (i = 0; i < v->len; i++) {
            p[i] = ngx_toupper(p[i]);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_upload_ctx_t  *ctx;

    (void) ngx_http_upload_variable_file(r, v);

    ctx = ngx_http_upload_get_ctx(r);

    if (ctx) {
        v->data = ctx->error.data;
        v->len = ctx->error.len;
    }

    return NGX_OK;
}


/* makes the value empty, and returns the file that it may be filled from */

static ngx_http_upload_file_t *
ngx_http_upload_variable_file(ngx_http_request_t *r,
    ngx_http_variable_value_t *v)
{
    ngx_http_upload_ctx_t  *ctx;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = 0;
    v->data = (u_char *) "";

    ctx = ngx_http_upload_get_ctx(r);

    return ctx ? ctx->file : NULL;
}
