
/*
 * The beginning of an upload request: which shape it has, and what its body
 * goes to.
 */


#include "ngx_http_upload.h"


static ngx_http_upload_ctx_t *ngx_http_upload_create_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_upload_options(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_check(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_check_form(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_str_t *type);
#if (NGX_HTTP_V2)
static ngx_int_t ngx_http_upload_preread(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
#endif
static ngx_int_t ngx_http_upload_cut(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_int_t rc);


ngx_int_t
ngx_http_upload_handler(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);

    if (r != r->main || (ctx && r->request_body)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "\"upload_pass\" of a subrequest, or that leads "
                      "to another \"upload_pass\"");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx == NULL) {
        ctx = ngx_http_upload_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_http_upload_module);

    if (r->method == NGX_HTTP_OPTIONS && !ctx->conf->append) {
        return ngx_http_upload_options(r, ctx);
    }

    if (r->method != NGX_HTTP_POST
        && !(ctx->conf->append
             && (r->method & (NGX_HTTP_PUT|NGX_HTTP_PATCH))))
    {
        /* the body is left to what answers instead */
        ngx_str_set(&ctx->error, "uploads are sent with POST");
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_upload_check(r, ctx);

    if (rc == NGX_OK) {
        rc = ctx->conf->authorize ? ngx_http_upload_authorize(r, ctx)
                                  : ngx_http_upload_receive(r, ctx);
    }

    if (rc == NGX_AGAIN) {
        r->main->count++;
        ctx->held = 1;
        return NGX_DONE;
    }

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return ngx_http_upload_refuse(r, ctx, rc);
    }

    return NGX_DONE;
}


static ngx_http_upload_ctx_t *
ngx_http_upload_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_upload_ctx_t        *ctx;
    ngx_http_upload_main_conf_t  *umcf;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_upload_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_upload_ctx_t));

    ctx->request = r;
    ctx->log = r->connection->log;
    ctx->granted_size = -1;

    ngx_http_upload_pipeline_init(ctx);

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upload_module);
    ngx_queue_insert_tail(&umcf->live, &ctx->queue);

    cln->handler = ngx_http_upload_cleanup;

    return ctx;
}


/* internal redirects clear r->ctx: the pool's cleanup list keeps our state */

ngx_http_upload_ctx_t *
ngx_http_upload_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_upload_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_upload_options(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_upload_add_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


/*
 * Which shape the request has.  Where bodies may be appended to files, only
 * the answer of authorize tells whether another one is in order, too.
 */

static ngx_int_t
ngx_http_upload_check(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  type;

    ngx_str_null(&type);

    if (r->headers_in.content_type) {
        type = r->headers_in.content_type->value;
    }

    if (type.len == 0) {
        rc = ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                    "the request has no Content-Type header: "
                                    "send multipart/form-data");

    } else {
        rc = ngx_http_upload_check_form(r, ctx, &type);
    }

    if (rc == NGX_HTTP_UNSUPPORTED_MEDIA_TYPE
        && ctx->conf->resumable
        && r->method == NGX_HTTP_POST)
    {
        rc = ngx_http_upload_raw_check(r, ctx);
    }

    if (ctx->conf->append && ctx->conf->authorize) {
        ctx->refusal = rc;
        return NGX_OK;
    }

    return rc;
}


static ngx_int_t
ngx_http_upload_check_form(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_str_t *type)
{
    upload_str_t  boundary;

    switch (upload_part_boundary(type->data, type->len, &boundary)) {

    case UPLOAD_BOUNDARY_NOT_MULTIPART:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                      "uploads are sent as "
                                      "multipart/form-data");

    case UPLOAD_BOUNDARY_MISSING:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "the Content-Type header has no "
                                      "boundary");

    case UPLOAD_BOUNDARY_TOO_LONG:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_BAD_REQUEST,
                                      "the boundary of the Content-Type "
                                      "header is longer than %d characters",
                                      UPLOAD_MULTIPART_BOUNDARY_MAX);

    case UPLOAD_BOUNDARY_OK:
        break;
    }

    ctx->boundary.len = boundary.len;
    ctx->boundary.data = (u_char *) boundary.data;

    return NGX_OK;
}


/*
 * Opens what the body goes to, and begins to read it.  Returns an error
 * status; NGX_AGAIN when a thread has to open it first; NGX_DONE when the
 * request goes on by itself.
 */

ngx_int_t
ngx_http_upload_receive(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->shape != ngx_http_upload_append && ctx->refusal) {
        return ctx->refusal;
    }

    ngx_str_null(&ctx->error);

    if (ctx->shape != ngx_http_upload_form) {
        rc = ngx_http_upload_number_boundary(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    upload_form_init(&ctx->form, ctx->boundary.len,
                     ctx->conf->max_output_body_len);

    switch (ctx->shape) {

    case ngx_http_upload_form:
        rc = ngx_http_upload_parts_init(r, ctx);
        break;

    case ngx_http_upload_raw:
        rc = ngx_http_upload_raw_open(r, ctx);
        break;

    default: /* ngx_http_upload_append */
        rc = ngx_http_upload_append_open(r, ctx);
    }

    return (rc == NGX_OK) ? ngx_http_upload_read(r, ctx) : rc;
}


ngx_int_t
ngx_http_upload_read(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    r->connection->log->action = "receiving an upload";

#if (NGX_HTTP_V2)
    if (r->stream && r->connection->error && ctx->keep) {
        return ngx_http_upload_preread(r, ctx);
    }
#endif

    r->request_body_no_buffering = 1;
    r->request_body_in_file_only = 0;

    rc = ngx_http_read_client_request_body(r, ngx_http_upload_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

        if (ctx->keep == NULL || r->request_body == NULL) {
            return rc;
        }

        return ngx_http_upload_cut(r, ctx, rc);
    }

    if (ctx->held) {
        ctx->held = 0;
        ngx_http_finalize_request(r, NGX_DONE);
    }

    return NGX_DONE;
}


#if (NGX_HTTP_V2)

/*
 * A stream that ended while the file was being opened: core would take what
 * it has of the body for all of it, and drop that.
 */

static ngx_int_t
ngx_http_upload_preread(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_buf_t                *b;
    ngx_http_request_body_t  *rb;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = r->stream->preread;

    if (b
        && (r->headers_in.content_length_n < 0
            || b->last - b->pos <= r->headers_in.content_length_n))
    {
        rb->bufs = ngx_alloc_chain_link(r->pool);
        if (rb->bufs == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        rb->bufs->buf = b;
        rb->bufs->next = NULL;
    }

    r->request_body = rb;

    return ngx_http_upload_cut(r, ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
}

#endif


/*
 * The body broke off before core handed on what it had read.  Core's count of
 * the request is gone, but not the one that authorize holds.
 */

static ngx_int_t
ngx_http_upload_cut(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc)
{
    ctx->held = 0;
    ctx->broken = rc;

    ngx_http_upload_buffers_init(r, ctx);
    ngx_http_upload_process(r, ctx);

    return NGX_DONE;
}
