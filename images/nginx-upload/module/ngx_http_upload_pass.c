
/*
 * The generated form, and the internal redirect that takes it to the backend
 * in place of the client's body.
 */


#include "ngx_http_upload.h"

#include <openssl/rand.h>


/* random bytes of a boundary that no client can have guessed */
#define NGX_HTTP_UPLOAD_BOUNDARY  16


static ngx_int_t ngx_http_upload_make_form(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_boundary(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_set_type(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_set_length(ngx_http_request_t *r,
    size_t size);
static ngx_table_elt_t *ngx_http_upload_add_header(ngx_http_request_t *r,
    char *name, u_char *lowcase);


static ngx_str_t  ngx_http_upload_dummy =
    ngx_string("<ngx_upload_module_dummy>");
static ngx_str_t  ngx_http_upload_post_method = ngx_string("POST");


ngx_int_t
ngx_http_upload_form_status(ngx_http_upload_ctx_t *ctx, upload_form_e rc)
{
    if (rc == UPLOAD_FORM_OK) {
        return NGX_OK;
    }

    if (rc == UPLOAD_FORM_NO_MEMORY) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&ctx->error, "the upload has more files or longer names than "
                             "upload_max_output_body_len allows");

    return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
}


/* adds the fields of a directive to the form, evaluated now */

ngx_int_t
ngx_http_upload_form_fields(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_array_t *fields)
{
    ngx_str_t                name, value;
    ngx_uint_t               i;
    upload_form_e            rc;
    ngx_http_upload_pair_t  *pair;

    if (fields == NULL) {
        return NGX_OK;
    }

    pair = fields->elts;

    for (i = 0; i < fields->nelts; i++) {

        if (ngx_http_complex_value(r, &pair[i].name, &name) != NGX_OK
            || ngx_http_complex_value(r, &pair[i].value, &value) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (name.len == 0) {
            continue;
        }

        rc = upload_form_begin(&ctx->form, name.data, name.len);

        if (rc == UPLOAD_FORM_OK) {
            rc = upload_form_append(&ctx->form, value.data, value.len);
        }

        if (rc != UPLOAD_FORM_OK) {
            return ngx_http_upload_form_status(ctx, rc);
        }
    }

    return NGX_OK;
}


/* returns NGX_DONE, or the status of what went wrong before */

ngx_int_t
ngx_http_upload_pass(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  uri, args;

    rc = ngx_http_upload_make_form(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_complex_value(r, ctx->conf->pass, &uri) != NGX_OK
        || ngx_http_upload_add_headers(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (uri.len == 0 || (uri.data[0] != '/' && uri.data[0] != '@')) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "\"upload_pass\" names no location: \"%V\"", &uri);
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                      "upload_pass names no location");
    }

    ctx->passed = 1;

    r->read_event_handler = ngx_http_block_reading;

    /* a form is posted, whatever the body was sent with */

    r->method = NGX_HTTP_POST;
    r->method_name = ngx_http_upload_post_method;

    if (uri.data[0] == '@') {
        (void) ngx_http_named_location(r, &uri);

    } else {
        ngx_http_split_args(r, &uri, &args);

        if (ctx->conf->pass_args && args.len == 0) {
            args = r->args;
        }

        (void) ngx_http_internal_redirect(r, &uri, &args);
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_upload_make_form(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    size_t          size;
    ngx_buf_t      *b;
    ngx_int_t       rc;
    ngx_chain_t    *cl;
    upload_form_e   form_rc;

    if (ctx->form.fields == 0) {
        form_rc = upload_form_begin(&ctx->form, ngx_http_upload_dummy.data,
                                    ngx_http_upload_dummy.len);
        if (form_rc != UPLOAD_FORM_OK) {
            return ngx_http_upload_form_status(ctx, form_rc);
        }
    }

    rc = ngx_http_upload_boundary(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    size = upload_form_size(&ctx->form, ctx->boundary.len);

    b = ngx_create_temp_buf(r->pool, size);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    upload_form_write(&ctx->form, ctx->boundary.data, ctx->boundary.len,
                      b->pos);
    upload_form_free(&ctx->form);

    b->last = b->pos + size;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    r->request_body->bufs = cl;
    r->request_body_no_buffering = 0;

    return ngx_http_upload_set_length(r, size);
}


/*
 * The client's boundary is kept, unless it occurs in a field: what is content
 * by our strict rules could be a delimiter to the backend's parser, and add
 * fields to the form.
 */

static ngx_int_t
ngx_http_upload_boundary(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    u_char  *p;
    u_char   bytes[NGX_HTTP_UPLOAD_BOUNDARY];

    if (upload_form_contains(&ctx->form, ctx->boundary.data,
                             ctx->boundary.len))
    {
        if (RAND_bytes(bytes, NGX_HTTP_UPLOAD_BOUNDARY) != 1) {
            ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                          "no random bytes for the boundary of the form");
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        p = ngx_pnalloc(r->pool, 2 * NGX_HTTP_UPLOAD_BOUNDARY);
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        (void) ngx_hex_dump(p, bytes, NGX_HTTP_UPLOAD_BOUNDARY);

        ctx->boundary.data = p;
        ctx->boundary.len = 2 * NGX_HTTP_UPLOAD_BOUNDARY;

    } else if (ctx->shape == ngx_http_upload_form) {
        return NGX_OK;
    }

    return ngx_http_upload_set_type(r, ctx);
}


/* a body that is no form has no boundary either: it becomes a number */

ngx_int_t
ngx_http_upload_number_boundary(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ctx->boundary.data = ngx_pnalloc(r->pool, NGX_ATOMIC_T_LEN);
    if (ctx->boundary.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->boundary.len = ngx_sprintf(ctx->boundary.data, "%0muA",
                                    ngx_next_temp_number(0))
                        - ctx->boundary.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_set_type(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    u_char           *p;
    ngx_str_t         type;
    ngx_table_elt_t  *h;

    ngx_str_set(&type, "multipart/form-data; boundary=");

    p = ngx_pnalloc(r->pool, type.len + ctx->boundary.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h = r->headers_in.content_type;

    if (h == NULL) {
        h = ngx_http_upload_add_header(r, "Content-Type",
                                       (u_char *) "content-type");
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        r->headers_in.content_type = h;
    }

    h->value.data = p;
    h->value.len = ngx_sprintf(p, "%V%V", &type, &ctx->boundary) - p;

    return NGX_OK;
}


/* nothing that describes the client's body may reach the backend */

static ngx_int_t
ngx_http_upload_set_length(ngx_http_request_t *r, size_t size)
{
    ngx_table_elt_t  *h;

    h = r->headers_in.content_length;

    if (h == NULL) {
        h = ngx_http_upload_add_header(r, "Content-Length",
                                       (u_char *) "content-length");
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        r->headers_in.content_length = h;
    }

    h->value.data = ngx_pnalloc(r->pool, NGX_SIZE_T_LEN);
    if (h->value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h->value.len = ngx_sprintf(h->value.data, "%uz", size) - h->value.data;

    r->headers_in.content_length_n = size;
    r->headers_in.chunked = 0;

    if (r->headers_in.transfer_encoding) {
        ngx_str_null(&r->headers_in.transfer_encoding->value);
    }

    if (r->headers_in.expect) {
        ngx_str_null(&r->headers_in.expect->value);
    }

    return NGX_OK;
}


static ngx_table_elt_t *
ngx_http_upload_add_header(ngx_http_request_t *r, char *name, u_char *lowcase)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->lowcase_key = lowcase;
    h->hash = ngx_hash_key(lowcase, h->key.len);

    return h;
}
