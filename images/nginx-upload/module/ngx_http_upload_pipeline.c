
/*
 * The pipeline of a file: what the parser finds is gathered in one batch
 * while threads hash and write the other.  Without "aio threads" the event
 * loop does a batch itself.
 */


#include "ngx_http_upload.h"


/*
 * A worker that shuts down gracefully ends as soon as it has no timer left:
 * work in a thread keeps one, however long it takes.
 */
#define NGX_HTTP_UPLOAD_WORK_TIMER  60000

/* from that size on it pays to let one thread write and another one hash */
#define NGX_HTTP_UPLOAD_SPLIT  (256 * 1024)


static ngx_int_t ngx_http_upload_post(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_batch_t *batch);
static void ngx_http_upload_work(void *data, ngx_log_t *log);
static void ngx_http_upload_work_end(ngx_http_upload_batch_t *batch);
static ngx_int_t ngx_http_upload_batch_done(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_batch_clear(ngx_http_upload_batch_t *batch);

#if (NGX_THREADS)
static ngx_thread_pool_t *ngx_http_upload_thread_pool(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_thread_task_t *ngx_http_upload_task(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_thread_task_t **task);
static void ngx_http_upload_write(void *data, ngx_log_t *log);
static void ngx_http_upload_hash(void *data, ngx_log_t *log);
static void ngx_http_upload_join(ngx_http_upload_batch_t *batch);
static void ngx_http_upload_work_event(ngx_event_t *ev);
static void ngx_http_upload_worked(ngx_http_request_t *r);
#endif


void
ngx_http_upload_pipeline_init(ngx_http_upload_ctx_t *ctx)
{
    ctx->batch = &ctx->batches[0];
    ctx->batch_number = 1;

    ctx->batches[0].sink = &ctx->sink;
    ctx->batches[1].sink = &ctx->sink;

    upload_sink_init(&ctx->sink, 0, 0);
}


/*
 * Adds content to the batch.  What is not in a buffer of the body is copied.
 * NGX_AGAIN: the batch is full, come again when the thread is done.
 */

ngx_int_t
ngx_http_upload_data(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    const u_char *data, size_t len, ngx_uint_t copy)
{
    ngx_int_t                 rc;
    upload_piece_t           *piece;
    ngx_http_upload_batch_t  *batch;

    batch = ctx->batch;

    if (batch->n == NGX_HTTP_UPLOAD_PIECES
        || (copy && batch->side_len + len > NGX_HTTP_UPLOAD_SIDE))
    {
        rc = ngx_http_upload_submit(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }

        batch = ctx->batch;
    }

    if (copy) {
        ngx_memcpy(batch->side + batch->side_len, data, len);
        data = batch->side + batch->side_len;
        batch->side_len += len;

    } else {
        ngx_http_upload_buffer_used(ctx, data);
    }

    batch->size += len;
    ctx->queued += len;

    if (batch->n) {
        piece = &batch->pieces[batch->n - 1];

        if (piece->data + piece->len == data) {
            piece->len += len;
            return NGX_OK;
        }
    }

    piece = &batch->pieces[batch->n++];
    piece->data = data;
    piece->len = len;

    return NGX_OK;
}


/*
 * Asks for a step after everything that was added so far, and for a handler
 * that goes on in the event loop when it succeeded.  NGX_AGAIN: a thread is
 * at it; otherwise what the handler returned, or an error's status.
 */

ngx_int_t
ngx_http_upload_step(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_step_pt step, void *data, ngx_http_upload_done_pt done)
{
    ngx_int_t  rc;

    ctx->step = step;
    ctx->step_data = data;
    ctx->done = done;

    rc = ngx_http_upload_submit(r, ctx);

    /* NGX_DONE: the request may be gone */

    return (rc == NGX_OK && ctx->working) ? NGX_AGAIN : rc;
}


/* NGX_AGAIN: the thread has not finished the batch before this one */

ngx_int_t
ngx_http_upload_submit(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_http_upload_batch_t  *batch;

    if (ctx->working) {
        return NGX_AGAIN;
    }

    batch = ctx->batch;

    if (batch->n == 0 && ctx->step == NULL) {
        return NGX_OK;
    }

    batch->append = ctx->append;
    batch->step = ctx->step;
    batch->data = ctx->step_data;

    ctx->batch = (batch == &ctx->batches[0]) ? &ctx->batches[1]
                                             : &ctx->batches[0];
    ctx->batch_number++;

    rc = ngx_http_upload_post(r, ctx, batch);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_http_upload_work(batch, ctx->log);

    return ngx_http_upload_batch_done(r, ctx);
}


#if (NGX_THREADS)

static ngx_int_t
ngx_http_upload_post(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_batch_t *batch)
{
    ngx_uint_t                    split;
    ngx_thread_pool_t            *tp;
    ngx_http_upload_main_conf_t  *umcf;

    tp = ngx_http_upload_thread_pool(r, ctx);
    if (tp == NULL) {
        return NGX_DECLINED;
    }

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upload_module);

    /* one thread will do where other uploads keep the other cores busy */

    split = batch->size >= NGX_HTTP_UPLOAD_SPLIT
            && umcf->working == 0
            && (batch->sink->digest.kinds || batch->sink->body);

    if (ngx_http_upload_task(r, ctx, &ctx->task) == NULL
        || (split && ngx_http_upload_task(r, ctx, &ctx->hash_task) == NULL))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (split) {
        upload_sink_fork(batch->sink);
    }

    batch->threads = split ? 2 : 1;

    ctx->task->handler = split ? ngx_http_upload_write : ngx_http_upload_work;
    ctx->task->ctx = batch;

    if (ngx_thread_task_post(tp, ctx->task) != NGX_OK) {
        return NGX_DECLINED;
    }

    ctx->working = 1;
    umcf->working++;

    if (split) {
        ctx->hash_task->handler = ngx_http_upload_hash;
        ctx->hash_task->ctx = batch;

        if (ngx_thread_task_post(tp, ctx->hash_task) == NGX_OK) {
            ctx->working++;

        } else {
            ngx_http_upload_hash(batch, ctx->log);
        }
    }

    r->write_event_handler = ngx_http_upload_worked;

    /* the request stays in memory, and the file open, until they end */

    r->main->blocked++;

    if (!ctx->task->event.timer_set) {
        ngx_add_timer(&ctx->task->event, NGX_HTTP_UPLOAD_WORK_TIMER);
    }

    return NGX_OK;
}


static ngx_thread_task_t *
ngx_http_upload_task(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_thread_task_t **task)
{
    if (*task == NULL) {
        *task = ngx_thread_task_alloc(r->pool, 0);

        if (*task) {
            (*task)->event.log = ctx->log;
            (*task)->event.data = ctx;
            (*task)->event.handler = ngx_http_upload_work_event;
        }
    }

    return *task;
}


static ngx_thread_pool_t *
ngx_http_upload_thread_pool(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_str_t                  name;
    ngx_thread_pool_t         *tp;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->aio != NGX_HTTP_AIO_THREADS) {
        return NULL;
    }

    if (clcf->thread_pool) {
        return clcf->thread_pool;
    }

    if (ngx_http_complex_value(r, clcf->thread_pool_value, &name) != NGX_OK) {
        return NULL;
    }

    tp = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);

    if (tp == NULL) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "thread pool \"%V\" not found", &name);
    }

    return tp;
}

#else

static ngx_int_t
ngx_http_upload_post(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_batch_t *batch)
{
    return NGX_DECLINED;
}

#endif


/* in a thread: memory and system calls only */

static void
ngx_http_upload_work(void *data, ngx_log_t *log)
{
    ngx_http_upload_batch_t *batch = data;

    batch->err = 0;

    if (batch->n) {
        batch->err = upload_sink_take(batch->sink, batch->pieces, batch->n);
    }

    ngx_http_upload_work_end(batch);
}


/* the step has to wait until the file and the digest are where they belong */

static void
ngx_http_upload_work_end(ngx_http_upload_batch_t *batch)
{
    if (batch->err == 0 && batch->append && upload_append_due(batch->append)) {
        batch->err = upload_append_keep(batch->append);
    }

    if (batch->err == 0 && batch->step) {
        batch->err = batch->step(batch->data);
    }
}


#if (NGX_THREADS)

static void
ngx_http_upload_write(void *data, ngx_log_t *log)
{
    ngx_http_upload_batch_t *batch = data;

    batch->err = upload_sink_write(batch->sink, batch->pieces, batch->n);

    ngx_http_upload_join(batch);
}


static void
ngx_http_upload_hash(void *data, ngx_log_t *log)
{
    ngx_http_upload_batch_t *batch = data;

    upload_sink_hash(batch->sink, batch->pieces, batch->size);

    ngx_http_upload_join(batch);
}


static void
ngx_http_upload_join(ngx_http_upload_batch_t *batch)
{
    if (ngx_atomic_fetch_add(&batch->threads, -1) == 1) {
        upload_sink_join(batch->sink, batch->pieces, batch->size);
        ngx_http_upload_work_end(batch);
    }
}


static void
ngx_http_upload_work_event(ngx_event_t *ev)
{
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    ngx_http_upload_ctx_t        *ctx;
    ngx_http_upload_main_conf_t  *umcf;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    if (ev->timedout) {
        ev->timedout = 0;

        if (ctx->working) {
            ngx_add_timer(ev, NGX_HTTP_UPLOAD_WORK_TIMER);
        }

        return;
    }

    if (--ctx->working) {
        return;
    }

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upload_module);
    umcf->working--;

    ngx_http_set_log_request(c->log, r);

    ctx->worked = 1;
    r->main->blocked--;

    /* core has put another handler there if the request was terminated */

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_upload_worked(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_http_upload_ctx_t  *ctx;

    ctx = ngx_http_upload_get_ctx(r);

    if (!ctx->worked) {
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    rc = ngx_http_upload_batch_done(r, ctx);

    if (rc == NGX_OK && ctx->step) {
        /* it was asked for meanwhile */
        rc = ngx_http_upload_submit(r, ctx);

        if (rc == NGX_OK && ctx->working) {
            return;
        }
    }

    /* NGX_DONE: the request may be gone */

    if (rc == NGX_AGAIN || rc == NGX_DONE) {
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_upload_fail(r, ctx, rc);
        return;
    }

    ngx_http_upload_process(r, ctx);
}

#endif


static ngx_int_t
ngx_http_upload_batch_done(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    int                       err;
    ngx_http_upload_done_pt   done;
    ngx_http_upload_batch_t  *batch;

    batch = (ctx->batch == &ctx->batches[0]) ? &ctx->batches[1]
                                             : &ctx->batches[0];

    ctx->worked = 0;
    ctx->finished = ctx->batch_number - 1;

    err = batch->err;
    done = batch->step ? ctx->done : NULL;

    ngx_http_upload_batch_clear(batch);
    batch->step = NULL;

    ngx_http_upload_buffers_free(r, ctx);

    if (done || err) {
        ctx->step = NULL;
        ctx->done = NULL;
    }

    if (err) {
        /* what came behind the bytes that are missing is of no use */
        ngx_http_upload_batch_clear(ctx->batch);

        return ngx_http_upload_work_failed(r, ctx, err);
    }

    if (ctx->failure) {
        /* the request has failed meanwhile, and does not go on */
        return ctx->failure;
    }

    return done ? done(r, ctx) : NGX_OK;
}


static void
ngx_http_upload_batch_clear(ngx_http_upload_batch_t *batch)
{
    batch->n = 0;
    batch->size = 0;
    batch->side_len = 0;
}


/*
 * The request is over, or the worker ends, and no thread is at work: what a
 * resumable upload has received is written in any case.
 */

void
ngx_http_upload_pipeline_close(ngx_http_upload_ctx_t *ctx)
{
    ngx_http_upload_batch_t  *batch, *last;

#if (NGX_THREADS)
    if (ctx->task && ctx->task->event.timer_set) {
        ngx_del_timer(&ctx->task->event);
    }
#endif

    batch = ctx->batch;
    last = (batch == &ctx->batches[0]) ? &ctx->batches[1] : &ctx->batches[0];

    if (ctx->keep) {

        if (last->err) {
            /* nobody has looked at that: bytes are missing before these */
            ngx_http_upload_batch_clear(batch);
        }

        batch->step = ctx->keep;
        batch->data = ctx->keep_data;
        ngx_http_upload_work(batch, ctx->log);
    }

    (void) upload_sink_close(&ctx->sink);
}
