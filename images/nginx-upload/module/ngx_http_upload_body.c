
/*
 * Reads the request body, unbuffered, and hands it on: to the parser, or to
 * the file as it is.
 */


#include "ngx_http_upload.h"


/*
 * So much of one body is taken before other connections get their turn:
 * about a millisecond of receiving.
 */
#define NGX_HTTP_UPLOAD_TURN   (1024 * 1024)

/* less than that is not worth waking up a thread: more may come */
#define NGX_HTTP_UPLOAD_BATCH  (16 * 1024)

/* the longest that upload_limit_rate waits at a time */
#define NGX_HTTP_UPLOAD_DELAY  1000


static void ngx_http_upload_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_upload_broken(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_upload_delay(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_stall(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_yield(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_consume(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_bytes(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_buf_t *b);
static void ngx_http_upload_body_end(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


/* called by core with the beginning of the body */

void
ngx_http_upload_body_handler(ngx_http_request_t *r)
{
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);

    r->read_event_handler = ngx_http_upload_read_handler;

    ngx_http_upload_buffers_init(r, ctx);
    ngx_http_upload_process(r, ctx);
}


static void
ngx_http_upload_read_handler(ngx_http_request_t *r)
{
    ngx_event_t            *rev;
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);
    rev = r->connection->read;

    if (ctx->stalled || ctx->yielded || ctx->delayed) {
        /* the client is not to blame for the time that others take */

        if (ctx->delayed && !rev->timedout) {
            return;
        }

        rev->timedout = 0;
    }

    if (ctx->stalled) {
        return;
    }

    ctx->yielded = 0;
    ctx->delayed = 0;

    ngx_http_upload_process(r, ctx);
}


void
ngx_http_upload_process(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    off_t      turn;
    ngx_int_t  rc;

    ctx->stalled = 0;
    turn = ctx->received + NGX_HTTP_UPLOAD_TURN;

    for ( ;; ) {

        rc = ngx_http_upload_consume(r, ctx);

        if (rc == NGX_OK && ctx->broken) {
            rc = ctx->broken;
        }

        if (rc == NGX_OK && !r->reading_body) {
            ngx_http_upload_body_end(r, ctx);
            return;
        }

        if (rc == NGX_OK && ctx->received >= turn) {
            ngx_http_upload_yield(r, ctx);
            return;
        }

        if (rc == NGX_OK && ctx->conf->limit_rate) {
            rc = ngx_http_upload_delay(r, ctx);
            if (rc == NGX_BUSY) {
                return;
            }
        }

        if (rc == NGX_OK) {
            rc = ngx_http_upload_buffer_ready(r, ctx);
        }

        if (rc == NGX_AGAIN) {
            ngx_http_upload_stall(r, ctx);
            return;
        }

        if (rc != NGX_OK) {
            ngx_http_upload_fail(r, ctx, rc);
            return;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc != NGX_OK && rc != NGX_AGAIN) {
            rc = ngx_http_upload_broken(r, ctx, rc);

            if (rc != NGX_OK) {
                ngx_http_upload_fail(r, ctx, rc);
                return;
            }

            continue;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {

            /* nothing more has come so far */

            if (!ctx->working && ctx->batch->size >= NGX_HTTP_UPLOAD_BATCH) {
                rc = ngx_http_upload_submit(r, ctx);

                if (rc != NGX_OK) {
                    ngx_http_upload_fail(r, ctx, rc);
                }
            }

            return;
        }
    }
}


/*
 * The body breaks off.  Returns the status, or NGX_OK if what core has read
 * before is to be taken first: it may be all that came.
 */

static ngx_int_t
ngx_http_upload_broken(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc)
{
#if (NGX_HTTP_V2)
    ngx_buf_t    *b;
    ngx_chain_t  *cl, **ll;

    if (r->stream && r->stream->connection->connection->error) {
        /* core could not widen the window of a client that left */
        rc = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }
#endif

    if (ctx->keep == NULL) {
        return rc;
    }

    ctx->broken = rc;
    r->read_event_handler = ngx_http_block_reading;

#if (NGX_HTTP_V2)

    b = r->request_body->buf;

    if (r->stream && r->connection->error && b && b->pos != b->last) {

        /* it stands there as it came */

        cl = ngx_alloc_chain_link(r->pool);
        if (cl == NULL) {
            return rc;
        }

        cl->buf = b;
        cl->next = NULL;

        for (ll = &r->request_body->bufs; *ll; ll = &(*ll)->next) { /* void */ }

        *ll = cl;
    }

#endif

    return NGX_OK;
}


/* upload_limit_rate, as an average since the request began */

static ngx_int_t
ngx_http_upload_delay(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    off_t       excess;
    ngx_msec_t  delay;

    excess = ctx->received
             - (off_t) ctx->conf->limit_rate * (ngx_time() - r->start_sec + 1);

    if (excess <= 0) {
        return NGX_OK;
    }

    delay = (ngx_msec_t) (excess * 1000 / ctx->conf->limit_rate + 1);

    if (delay > NGX_HTTP_UPLOAD_DELAY) {
        delay = NGX_HTTP_UPLOAD_DELAY;
    }

    ctx->delayed = 1;
    ngx_add_timer(r->connection->read, delay);

    return NGX_BUSY;
}


/* a thread has to get on first; the client does not have to hurry */

static void
ngx_http_upload_stall(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

    ctx->stalled = 1;

    if (rev->timer_set) {
        ngx_del_timer(rev);
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
ngx_http_upload_consume(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    off_t                     size;
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

        size = b->last - b->pos;

        rc = (ctx->shape == ngx_http_upload_form)
             ? ngx_http_upload_parse(r, ctx, b)
             : ngx_http_upload_bytes(r, ctx, b);

        ctx->received += size - (b->last - b->pos);

        if (rc != NGX_OK) {
            return rc;
        }

        rb->bufs = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return NGX_OK;
}


/* a body that is the file itself */

static ngx_int_t
ngx_http_upload_bytes(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_buf_t *b)
{
    size_t     len;
    ngx_int_t  rc;

    len = b->last - b->pos;

    if (len == 0) {
        return NGX_OK;
    }

    if (ctx->part == ngx_http_upload_part_skip) {
        b->pos = b->last;
        return NGX_OK;
    }

    if (ctx->segment && ctx->segment->total
        && ctx->queued + (off_t) len
           > ctx->segment->last - ctx->segment->first + 1)
    {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_RANGE_NOT_SATISFIABLE,
                                      "the body is longer than its range");
    }

    rc = ngx_http_upload_file_size(r, ctx,
                                   ctx->file->offset + ctx->queued + len);

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE && ctx->append) {
        ctx->append->discard = 1;
    }

    if (rc == NGX_OK && ctx->part == ngx_http_upload_part_file) {
        rc = ngx_http_upload_data(r, ctx, b->pos, len, 0);
    }

    if (rc == NGX_OK) {
        b->pos = b->last;
    }

    return rc;
}


static void
ngx_http_upload_body_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (r->connection->error) {
        ngx_http_upload_fail(r, ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    switch (ctx->shape) {

    case ngx_http_upload_form:
        rc = ngx_http_upload_parts_end(r, ctx);
        break;

    case ngx_http_upload_raw:
        rc = ngx_http_upload_raw_end(r, ctx);
        break;

    default: /* ngx_http_upload_append */
        rc = ngx_http_upload_append_end(r, ctx);
    }

    if (rc == NGX_AGAIN) {
        ngx_http_upload_stall(r, ctx);
        return;
    }

    if (rc != NGX_DONE) {
        ngx_http_upload_fail(r, ctx, rc);
    }
}
