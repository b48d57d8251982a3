
/*
 * The way of an upload request: checks, authorize, receive, pass on; and the
 * one place where it fails and the one place where its files are removed.
 */


#include "ngx_http_upload.h"


static ngx_http_upload_ctx_t *ngx_http_upload_create_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_upload_options(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_check(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_refuse(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_upload_explain(ngx_http_upload_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_upload_cleanup(void *data);
static void ngx_http_upload_release(ngx_http_upload_ctx_t *ctx,
    ngx_uint_t status);
static ngx_uint_t ngx_http_upload_cleanup_status(ngx_http_upload_ctx_t *ctx,
    ngx_uint_t status);


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

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_upload_options(r, ctx);
    }

    if (r->method != NGX_HTTP_POST) {
        /* the body is left to what answers instead */
        ngx_str_set(&ctx->error, "uploads are sent with POST");
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_upload_check(r, ctx);

    if (rc == NGX_OK) {
        rc = ctx->conf->authorize ? ngx_http_upload_authorize(r, ctx)
                                  : ngx_http_upload_receive(r, ctx);
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

    upload_writer_init(&ctx->writer, NULL, 0, 0);

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


static ngx_int_t
ngx_http_upload_check(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    upload_str_t      boundary;
    ngx_table_elt_t  *type;

    if (ctx->conf->store == NULL) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "\"upload_pass\" without \"upload_store\"");
        ngx_str_set(&ctx->error, "there is no upload_store directory");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    type = r->headers_in.content_type;

    if (type == NULL || type->value.len == 0) {
        ngx_str_set(&ctx->error, "the request has no Content-Type header: "
                                 "send multipart/form-data");
        return NGX_HTTP_BAD_REQUEST;
    }

    switch (upload_part_boundary(type->value.data, type->value.len,
                                 &boundary))
    {
    case UPLOAD_BOUNDARY_NOT_MULTIPART:
        ngx_str_set(&ctx->error, "uploads are sent as multipart/form-data");
        return NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;

    case UPLOAD_BOUNDARY_MISSING:
        ngx_str_set(&ctx->error, "the Content-Type header has no boundary");
        return NGX_HTTP_BAD_REQUEST;

    case UPLOAD_BOUNDARY_TOO_LONG:
        ngx_str_set(&ctx->error, "the boundary of the Content-Type header is "
                                 "longer than 256 characters");
        return NGX_HTTP_BAD_REQUEST;

    case UPLOAD_BOUNDARY_OK:
        break;
    }

    ctx->boundary.len = boundary.len;
    ctx->boundary.data = (u_char *) boundary.data;

    return NGX_OK;
}


/*
 * Prepares the parser and begins to read the body.  Returns an error status,
 * or something below 300 when the request goes on by itself.
 */

ngx_int_t
ngx_http_upload_receive(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    size_t         max;
    u_char        *memory;
    ngx_int_t      rc;
    upload_str_t   boundary;

    max = ctx->conf->max_part_header_len;

    ctx->parser = ngx_palloc(r->pool, sizeof(upload_multipart_t));
    memory = ngx_palloc(r->pool, upload_multipart_memory(max));

    if (ctx->parser == NULL || memory == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    boundary.len = ctx->boundary.len;
    boundary.data = ctx->boundary.data;

    upload_multipart_init(ctx->parser, &boundary, memory, max);
    upload_form_init(&ctx->form, boundary.len,
                     ctx->conf->max_output_body_len);

    r->connection->log->action = "receiving an upload";

    r->request_body_no_buffering = 1;
    r->request_body_in_file_only = 0;

    rc = ngx_http_read_client_request_body(r, ngx_http_upload_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_upload_explain(ctx, rc);
    }

    return rc;
}


/* before anything of the body was taken: core discards it */

static ngx_int_t
ngx_http_upload_refuse(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc)
{
    /* whoever waits for 100 Continue is not invited to send the body */

    if (r->headers_in.expect && !r->expect_tested) {
        r->expect_tested = 1;
        r->keepalive = 0;
    }

    (void) ngx_http_upload_add_headers(r, ctx);

    return rc;
}


void
ngx_http_upload_fail(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_http_upload_file_t  *file;

    if (rc == NGX_ERROR) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_upload_explain(ctx, rc);

    if (ctx->error.len) {
        ngx_log_error(NGX_LOG_INFO, ctx->log, 0, "upload failed: %V",
                      &ctx->error);
    }

    for (file = ctx->file; file; file = file->previous) {
        ngx_http_upload_file_remove(ctx, file);
    }

    if (r->request_body) {

#if (NGX_HTTP_V2)
        if (r->stream) {
            r->stream->skip_data = 1;
        }
#endif

        /* an error page may be proxied: it has no body then */

        r->request_body->bufs = NULL;
        r->headers_in.content_length_n = 0;
        r->headers_in.chunked = 0;
    }

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_finalize_request(r, ngx_http_upload_refuse(r, ctx, rc));
}


/* the reasons of what core found out */

static void
ngx_http_upload_explain(ngx_http_upload_ctx_t *ctx, ngx_int_t rc)
{
    if (ctx->error.len) {
        return;
    }

    switch (rc) {

    case NGX_HTTP_BAD_REQUEST:
        ngx_str_set(&ctx->error, "the request body could not be read");
        break;

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        ngx_str_set(&ctx->error, "the request body is larger than "
                                 "client_max_body_size allows");
        break;

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        ngx_str_set(&ctx->error, "the application that authorizes uploads "
                                 "does not answer");
        break;

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        ngx_str_set(&ctx->error, "nginx failed, see its error log");
        break;
    }
}


/* upload_add_header, once for the response */

ngx_int_t
ngx_http_upload_add_headers(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_str_t                name, value;
    ngx_uint_t               i;
    ngx_table_elt_t         *h;
    ngx_http_upload_pair_t  *pair;

    if (ctx->headers_added || ctx->conf->headers == NULL) {
        return NGX_OK;
    }

    ctx->headers_added = 1;

    pair = ctx->conf->headers->elts;

    for (i = 0; i < ctx->conf->headers->nelts; i++) {

        if (ngx_http_complex_value(r, &pair[i].name, &name) != NGX_OK
            || ngx_http_complex_value(r, &pair[i].value, &value) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (name.len == 0 || value.len == 0) {
            continue;
        }

        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));

        h->hash = 1;
        h->key = name;
        h->value = value;
    }

    return NGX_OK;
}


static void
ngx_http_upload_cleanup(void *data)
{
    ngx_http_upload_ctx_t *ctx = data;

    ngx_uint_t           status;
    ngx_http_request_t  *r;

    r = ctx->request;
    status = r->err_status ? r->err_status : r->headers_out.status;

    ngx_http_upload_release(ctx, status);
    ngx_queue_remove(&ctx->queue);
}


/*
 * The request is over: its files stay when they were passed on, unless the
 * status says otherwise.  A backend may have moved them away already.
 */

static void
ngx_http_upload_release(ngx_http_upload_ctx_t *ctx, ngx_uint_t status)
{
    ngx_http_upload_file_t  *file;

    (void) upload_writer_close(&ctx->writer);
    upload_digest_free(&ctx->digest);
    upload_form_free(&ctx->form);

    if (ctx->passed && !ngx_http_upload_cleanup_status(ctx, status)) {
        return;
    }

    for (file = ctx->file; file; file = file->previous) {
        ngx_http_upload_file_remove(ctx, file);
    }
}


static ngx_uint_t
ngx_http_upload_cleanup_status(ngx_http_upload_ctx_t *ctx, ngx_uint_t status)
{
    ngx_uint_t                   i;
    ngx_http_upload_statuses_t  *statuses;

    if (ctx->conf->cleanup == NULL) {
        return 0;
    }

    if (status == 0) {
        /* no answer was made */
        status = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    statuses = ctx->conf->cleanup->elts;

    for (i = 0; i < ctx->conf->cleanup->nelts; i++) {

        if (status >= statuses[i].from && status <= statuses[i].to) {
            return 1;
        }
    }

    return 0;
}


/* a worker that is told to stop at once does not destroy its requests */

void
ngx_http_upload_exit_process(ngx_cycle_t *cycle)
{
    ngx_queue_t                  *q;
    ngx_http_upload_ctx_t        *ctx;
    ngx_http_upload_main_conf_t  *umcf;

    umcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_upload_module);

    if (umcf == NULL) {
        return;
    }

    for (q = ngx_queue_head(&umcf->live);
         q != ngx_queue_sentinel(&umcf->live);
         q = ngx_queue_next(q))
    {
        ctx = ngx_queue_data(q, ngx_http_upload_ctx_t, queue);

        ctx->log = cycle->log;
        ngx_http_upload_release(ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
    }
}
