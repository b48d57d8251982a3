
/*
 * Reads the request body, unbuffered, and turns what the parser finds into
 * files and form fields.
 */


#include "ngx_http_upload.h"


/*
 * So much of one body is taken before other connections get their turn:
 * about a millisecond of hashing and writing.
 */
#define NGX_HTTP_UPLOAD_TURN  (1024 * 1024)


static void ngx_http_upload_read_handler(ngx_http_request_t *r);
static void ngx_http_upload_yield(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_consume(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, size_t *taken);
static ngx_int_t ngx_http_upload_parse(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_buf_t *b);
static ngx_int_t ngx_http_upload_part_begin(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_part_data(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_uint_t ngx_http_upload_wanted(ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_complete(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


/* called by core with the beginning of the body */

void
ngx_http_upload_body_handler(ngx_http_request_t *r)
{
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);

    r->read_event_handler = ngx_http_upload_read_handler;

    ngx_http_upload_process(r, ctx);
}


static void
ngx_http_upload_read_handler(ngx_http_request_t *r)
{
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);

    if (ctx->flushing || ctx->yielded) {
        /* the client is not to blame for the time that others take */
        r->connection->read->timedout = 0;
    }

    if (ctx->flushing) {
        return;
    }

    ctx->yielded = 0;

    ngx_http_upload_process(r, ctx);
}


void
ngx_http_upload_process(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    size_t        taken;
    ngx_int_t     rc;
    ngx_event_t  *rev;

    rev = r->connection->read;
    taken = 0;

    for ( ;; ) {

        rc = ngx_http_upload_consume(r, ctx, &taken);

        if (rc == NGX_AGAIN) {
            /* a file is being flushed */

            if (rev->timer_set) {
                ngx_del_timer(rev);
            }

            return;
        }

        if (rc != NGX_OK) {
            ngx_http_upload_fail(r, ctx, rc);
            return;
        }

        if (!r->reading_body) {
            ngx_http_upload_complete(r, ctx);
            return;
        }

        if (taken >= NGX_HTTP_UPLOAD_TURN) {
            ngx_http_upload_yield(r, ctx);
            return;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc != NGX_OK && rc != NGX_AGAIN) {

#if (NGX_HTTP_V2)
            if (r->stream && r->stream->connection->connection->error) {
                /* core could not widen the window of a client that left */
                rc = NGX_HTTP_CLIENT_CLOSED_REQUEST;
            }
#endif

            ngx_http_upload_fail(r, ctx, rc);
            return;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            return;
        }
    }
}


static void
ngx_http_upload_yield(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_event_t               *rev;
    ngx_http_core_loc_conf_t  *clcf;

    rev = r->connection->read;

    ctx->yielded = 1;

    /* a worker that shuts down gracefully waits for timers only */

    if (!rev->timer_set) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
        ngx_add_timer(rev, clcf->client_body_timeout);
    }

    ngx_post_event(rev, &ngx_posted_next_events);
}


/* takes every buffer that core has handed on, and gives it back */

static ngx_int_t
ngx_http_upload_consume(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    size_t *taken)
{
    ngx_buf_t                *b;
    ngx_int_t                 rc;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = r->request_body;

    while (rb->bufs) {
        cl = rb->bufs;
        b = cl->buf;

        if (b->in_file) {
            ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                          "the request body was read to a file before "
                          "\"upload_pass\" could stream it");
            ngx_str_set(&ctx->error, "another module has read the request "
                                     "body already");
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        *taken += b->last - b->pos;

        rc = ngx_http_upload_parse(r, ctx, b);

        if (rc != NGX_OK) {
            return rc;
        }

        rb->bufs = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_parse(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_buf_t *b)
{
    u_char                    *p;
    ngx_int_t                  rc;
    const u_char              *pos;
    upload_multipart_event_e   event;

    for ( ;; ) {
        pos = b->pos;
        event = upload_multipart_next(ctx->parser, &pos, b->last);
        b->pos = (u_char *) pos;

        rc = NGX_OK;

        switch (event) {

        case UPLOAD_MULTIPART_MORE:
            return NGX_OK;

        case UPLOAD_MULTIPART_PART:
            rc = ngx_http_upload_part_begin(r, ctx);
            break;

        case UPLOAD_MULTIPART_DATA:
            rc = ngx_http_upload_part_data(r, ctx);
            break;

        case UPLOAD_MULTIPART_PART_END:
            if (ctx->part == ngx_http_upload_part_file) {
                rc = ngx_http_upload_file_end(r, ctx);
            }

            ctx->part = ngx_http_upload_part_skip;
            break;

        case UPLOAD_MULTIPART_END:
            break;

        case UPLOAD_MULTIPART_MALFORMED:
            ctx->error.data = (u_char *) ctx->parser->reason;
            ctx->error.len = ngx_strlen(ctx->parser->reason);
            return NGX_HTTP_BAD_REQUEST;

        case UPLOAD_MULTIPART_HEADER_LIMIT:
            p = ngx_pnalloc(r->pool, NGX_MAX_ERROR_STR);
            if (p == NULL) {
                return NGX_HTTP_INTERNAL_SERVER_ERROR;
            }

            ctx->error.data = p;
            ctx->error.len = ngx_sprintf(p, "part header is longer than %uz "
                                         "bytes (upload_max_part_header_len)",
                                         ctx->conf->max_part_header_len)
                             - p;
            return NGX_HTTP_BAD_REQUEST;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_http_upload_part_begin(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    upload_part_t  *part;

    part = &ctx->parser->part;

    ctx->mark = upload_form_mark(&ctx->form);

    if (part->file_name.len) {
        ctx->part = ngx_http_upload_part_file;
        return ngx_http_upload_file_begin(r, ctx);
    }

    if (ngx_http_upload_wanted(ctx)) {

        switch (upload_form_begin(&ctx->form, part->name.data,
                                  part->name.len))
        {
        case UPLOAD_FORM_OK:
            ctx->part = ngx_http_upload_part_field;
            return NGX_OK;

        case UPLOAD_FORM_NO_MEMORY:
            return NGX_HTTP_INTERNAL_SERVER_ERROR;

        case UPLOAD_FORM_TOO_LARGE:
            /* a field without room in the form is dropped */
            break;
        }
    }

    ctx->part = ngx_http_upload_part_skip;

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_part_data(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    upload_str_t  *data;

    data = &ctx->parser->data;

    if (ctx->part == ngx_http_upload_part_file) {
        return ngx_http_upload_file_data(r, ctx, data->data, data->len);
    }

    if (ctx->part == ngx_http_upload_part_field) {

        switch (upload_form_append(&ctx->form, data->data, data->len)) {

        case UPLOAD_FORM_OK:
            break;

        case UPLOAD_FORM_NO_MEMORY:
            return NGX_HTTP_INTERNAL_SERVER_ERROR;

        case UPLOAD_FORM_TOO_LARGE:
            upload_form_rollback(&ctx->form, ctx->mark);
            ctx->part = ngx_http_upload_part_skip;
            break;
        }
    }

    return NGX_OK;
}


/* whether upload_pass_form_field names a plain field */

static ngx_uint_t
ngx_http_upload_wanted(ngx_http_upload_ctx_t *ctx)
{
#if (NGX_PCRE)

    ngx_str_t  name;

    name.len = ctx->parser->part.name.len;
    name.data = (u_char *) ctx->parser->part.name.data;

    if (name.len == 0 || ctx->conf->pass_fields == NULL) {
        return 0;
    }

    return ngx_regex_exec_array(ctx->conf->pass_fields, &name, ctx->log)
           == NGX_OK;

#else

    return 0;

#endif
}


static void
ngx_http_upload_complete(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    const char  *missing;

    if (r->connection->error) {
        ngx_http_upload_fail(r, ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    missing = upload_multipart_finish(ctx->parser);

    if (missing) {
        ctx->error.data = (u_char *) missing;
        ctx->error.len = ngx_strlen(missing);

        ngx_http_upload_fail(r, ctx, NGX_HTTP_BAD_REQUEST);
        return;
    }

    ngx_http_upload_pass(r, ctx);
}
