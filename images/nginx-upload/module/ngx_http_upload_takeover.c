
/*
 * Two requests for one file: one that writes to it, and gives way if it is
 * asked to, and one that waits for it.  A lock is only ever given up by its
 * holder, or by the end of that, so whoever has lost it cannot write.
 */


#include "ngx_http_upload.h"


/* whoever has the file looks so often whether it is asked for it */
#define NGX_HTTP_UPLOAD_LOOK      500

/* a client that was silent for so long may be gone */
#define NGX_HTTP_UPLOAD_SILENCE   3000

/* whoever waits tries so often */
#define NGX_HTTP_UPLOAD_RETRY     100

/* the longest that one waits: the silence, a look, and a flush to disk */
#define NGX_HTTP_UPLOAD_PATIENCE  5000


static void ngx_http_upload_takeover_look(ngx_event_t *ev);
static void ngx_http_upload_takeover_retry(ngx_event_t *ev);


ngx_int_t
ngx_http_upload_takeover_init(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ngx_http_upload_takeover_t  *takeover;

    takeover = ngx_pcalloc(r->pool, sizeof(ngx_http_upload_takeover_t));
    if (takeover == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    takeover->event.data = ctx;
    takeover->event.log = ctx->log;

    ctx->takeover = takeover;

    return NGX_OK;
}


/* from now on the file is ours, until the body is complete */

void
ngx_http_upload_takeover_watch(ngx_http_upload_ctx_t *ctx)
{
    ngx_http_upload_takeover_t  *takeover;

    takeover = ctx->takeover;

    takeover->since = ngx_current_msec;
    takeover->event.handler = ngx_http_upload_takeover_look;

    /* a worker that shuts down gracefully does not wait for that */

    takeover->event.cancelable = 1;

    ngx_add_timer(&takeover->event, NGX_HTTP_UPLOAD_LOOK);
}


static void
ngx_http_upload_takeover_look(ngx_event_t *ev)
{
    ngx_int_t                    rc;
    ngx_connection_t            *c;
    upload_takeover_e            asked;
    ngx_http_request_t          *r;
    ngx_http_upload_ctx_t       *ctx;
    ngx_http_upload_takeover_t  *takeover;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;
    takeover = ctx->takeover;

    /* the client is not to blame for the time that others take */

    if (takeover->received != ctx->received
        || ctx->stalled || ctx->yielded || ctx->delayed)
    {
        takeover->received = ctx->received;
        takeover->since = ngx_current_msec;
    }

    asked = upload_takeover_asked(ctx->append->checkpoint_fd);

    if (asked == UPLOAD_TAKEOVER_NONE
        || (asked == UPLOAD_TAKEOVER_IDLE
            && ngx_current_msec - takeover->since < NGX_HTTP_UPLOAD_SILENCE))
    {
        ngx_add_timer(ev, NGX_HTTP_UPLOAD_LOOK);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    rc = ngx_http_upload_reason(r, ctx, NGX_HTTP_CONFLICT,
                                "another request has taken this upload over");

    ngx_http_upload_fail(r, ctx, rc);

    ngx_http_run_posted_requests(c);
}


/* another one has the file, and was asked for it */

ngx_int_t
ngx_http_upload_takeover_wait(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    ngx_event_t                 *rev;
    ngx_http_upload_takeover_t  *takeover;

    takeover = ctx->takeover;

    if (takeover->event.handler == NULL) {

        /* a client that leaves meanwhile wants nothing any more */

        takeover->event.handler = ngx_http_upload_takeover_retry;
        takeover->since = ngx_current_msec;

        r->read_event_handler = ngx_http_test_reading;

        rev = r->connection->read;

        if (rev->ready) {
            ngx_post_event(rev, &ngx_posted_events);

        } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ngx_current_msec - takeover->since >= NGX_HTTP_UPLOAD_PATIENCE) {
        return ngx_http_upload_work_failed(r, ctx, UPLOAD_APPEND_LOCKED);
    }

    ngx_add_timer(&takeover->event, NGX_HTTP_UPLOAD_RETRY);

    return NGX_AGAIN;
}


static void
ngx_http_upload_takeover_retry(ngx_event_t *ev)
{
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_upload_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    rc = ngx_http_upload_append_try(r, ctx);

    /* NGX_DONE: the request may be gone */

    if (rc != NGX_AGAIN && rc != NGX_DONE) {
        ngx_http_upload_fail(r, ctx, rc);
    }

    ngx_http_run_posted_requests(c);
}


/* may be called in any state, and again */

void
ngx_http_upload_takeover_stop(ngx_http_upload_ctx_t *ctx)
{
    if (ctx->takeover && ctx->takeover->event.timer_set) {
        ngx_del_timer(&ctx->takeover->event);
    }
}
