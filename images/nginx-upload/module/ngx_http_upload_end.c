
/*
 * The end of an upload request: the one place where it fails, and the one
 * place where its files are removed.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_kept(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_release(ngx_http_upload_ctx_t *ctx,
    ngx_uint_t status);
static void ngx_http_upload_remove_files(ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_unlock(ngx_http_upload_ctx_t *ctx);
static ngx_uint_t ngx_http_upload_cleanup_status(ngx_http_upload_ctx_t *ctx,
    ngx_uint_t status);
static ngx_int_t ngx_http_upload_header_filter(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


/*
 * The one way in which an upload fails.  A thread that is at work ends first,
 * and what is to be kept is made durable.
 */

void
ngx_http_upload_fail(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_http_upload_step_pt  keep;

    if (rc == NGX_ERROR) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->failure == 0) {
        ngx_http_upload_explain(ctx, rc);
        ctx->failure = rc;
    }

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_upload_takeover_stop(ctx);

    /* nobody waits for more of the body, nor does upload_limit_rate */

    if (r->connection->read->timer_set) {
        ngx_del_timer(r->connection->read);
    }

    if (ctx->working) {
        return;
    }

    keep = ctx->keep;

    if (keep) {
        ctx->keep = NULL;

        if (ngx_http_upload_step(r, ctx, keep, ctx->keep_data,
                                 ngx_http_upload_kept)
            == NGX_AGAIN)
        {
            return;
        }
    }

    if (ctx->error.len) {
        ngx_log_error(NGX_LOG_INFO, ctx->log, 0, "upload failed: %V",
                      &ctx->error);
    }

    ngx_http_upload_remove_files(ctx);

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

    ngx_http_finalize_request(r, ngx_http_upload_refuse(r, ctx, ctx->failure));
}


static ngx_int_t
ngx_http_upload_kept(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    return NGX_OK;
}


/* before anything of the body was taken: core discards it */

ngx_int_t
ngx_http_upload_refuse(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_http_upload_explain(ctx, rc);

    /* whoever waits for 100 Continue is not invited to send the body */

    if (r->headers_in.expect && !r->expect_tested) {
        r->expect_tested = 1;
        r->keepalive = 0;
    }

    (void) ngx_http_upload_add_headers(r, ctx);

    return rc;
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


void
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
    if (!ctx->passed || ngx_http_upload_cleanup_status(ctx, status)) {
        ngx_http_upload_remove_files(ctx);
    }

    ngx_http_upload_takeover_stop(ctx);
    ngx_http_upload_pipeline_close(ctx);
    ngx_http_upload_unlock(ctx);
    upload_form_free(&ctx->form);
}


static void
ngx_http_upload_remove_files(ngx_http_upload_ctx_t *ctx)
{
    ngx_http_upload_file_t  *file;

    for (file = ctx->file; file; file = file->previous) {
        ngx_http_upload_file_remove(ctx, file);
    }
}


/* others may go on with the file */

static void
ngx_http_upload_unlock(ngx_http_upload_ctx_t *ctx)
{
    if (ctx->append) {
        upload_append_close(ctx->append);
    }

    if (ctx->segment) {
        upload_segment_close(ctx->segment);
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


ngx_int_t
ngx_http_upload_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_upload_header_filter;

    return NGX_OK;
}


/*
 * Whoever has the answer may go on at once: the lock must be gone by then,
 * and before it what has the name of the next file.
 */

static ngx_int_t
ngx_http_upload_header_filter(ngx_http_request_t *r)
{
    ngx_http_upload_ctx_t  *ctx;

    if (r == r->main) {
        ctx = ngx_http_upload_get_ctx(r);

        if (ctx && !ctx->working) {

            if (ctx->segment && ctx->passed
                && ngx_http_upload_cleanup_status(ctx, r->headers_out.status))
            {
                ngx_http_upload_remove_files(ctx);
            }

            ngx_http_upload_unlock(ctx);
        }
    }

    return ngx_http_next_header_filter(r);
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
