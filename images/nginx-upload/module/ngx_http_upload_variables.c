
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
static ngx_int_t ngx_http_upload_sha256_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_upload_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_http_upload_file_t *ngx_http_upload_variable_file(
    ngx_http_request_t *r, ngx_http_variable_value_t *v);


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

    { ngx_string("upload_file_sha256"), NULL, ngx_http_upload_sha256_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("upload_file_sha256_uc"), NULL,
      ngx_http_upload_sha256_variable,
      1, NGX_HTTP_VAR_NOCACHEABLE, 0 },

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
    u_char               *p, *last;
    ngx_http_variable_t  *v;

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {

        if (*p != '$') {
            continue;
        }

        name->data = p + 1;

        if (name->data < last && *name->data == '{') {
            name->data++;
        }

        for (p = name->data;
             p < last && (*p == '_' || (*p >= 'a' && *p <= 'z')
                          || (*p >= '0' && *p <= '9'));
             p++)
        {
            /* void */
        }

        name->len = p - name->data;
        p--;

        for (v = ngx_http_upload_variables; v->name.len; v++) {

            if ((v->get_handler == ngx_http_upload_size_variable
                 || v->get_handler == ngx_http_upload_sha256_variable)
                && v->name.len == name->len
                && ngx_strncmp(v->name.data, name->data, name->len) == 0)
            {
                return 1;
            }
        }
    }

    return 0;
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


static ngx_int_t
ngx_http_upload_sha256_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_uint_t               i;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_variable_file(r, v);

    if (file && file->complete) {
        v->data = file->sha256;
        v->len = UPLOAD_SHA256_HEX;

        if (data) {
            p = ngx_pnalloc(r->pool, UPLOAD_SHA256_HEX);
            if (p == NULL) {
                return NGX_ERROR;
            }

            for (i = 0; i < UPLOAD_SHA256_HEX; i++) {
                p[i] = ngx_toupper(file->sha256[i]);
            }

            v->data = p;
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
