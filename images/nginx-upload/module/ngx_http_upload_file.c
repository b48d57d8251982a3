
/*
 * One uploaded file: created when its part begins, written and hashed as it
 * streams, flushed to disk when the part ends.
 */


#include "ngx_http_upload.h"


/*
 * A worker that shuts down gracefully ends as soon as it has no timer left:
 * a flush keeps one, however long it takes.
 */
#define NGX_HTTP_UPLOAD_FLUSH_TIMER  60000


static ngx_int_t ngx_http_upload_file_prepare(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_copy(ngx_pool_t *pool, ngx_str_t *to,
    upload_str_t *from);
static ngx_int_t ngx_http_upload_too_large(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, off_t size);
static ngx_int_t ngx_http_upload_write_failed(ngx_http_upload_ctx_t *ctx,
    ngx_err_t err, char *what);
static ngx_int_t ngx_http_upload_file_done(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_err_t err);


#if (NGX_THREADS)

typedef struct {
    int        fd;
    ngx_err_t  err;
} ngx_http_upload_flush_t;


static ngx_int_t ngx_http_upload_flush(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static void ngx_http_upload_flush_thread(void *data, ngx_log_t *log);
static void ngx_http_upload_flush_event(ngx_event_t *ev);
static void ngx_http_upload_flushed(ngx_http_request_t *r);

#endif


ngx_int_t
ngx_http_upload_file_begin(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_int_t                rc;
    upload_part_t           *part;
    ngx_http_upload_file_t  *file;

    file = ngx_pcalloc(r->pool, sizeof(ngx_http_upload_file_t));
    if (file == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    part = &ctx->parser->part;

    if (ngx_http_upload_copy(r->pool, &file->field_name, &part->name)
        != NGX_OK
        || ngx_http_upload_copy(r->pool, &file->file_name, &part->file_name)
           != NGX_OK
        || ngx_http_upload_copy(r->pool, &file->content_type,
                                &part->content_type)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->conf->tame_arrays
        && file->field_name.len >= 2
        && ngx_strncmp(file->field_name.data + file->field_name.len - 2,
                       "[]", 2)
           == 0)
    {
        file->field_name.len -= 2;
    }

    file->number = ++ctx->files;
    file->started = ngx_current_msec;
    file->previous = ctx->file;
    ctx->file = file;

    rc = ngx_http_upload_file_prepare(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_upload_store_create(r, ctx, file);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_upload_form_fields(r, ctx, ctx->conf->form_fields);
}


static ngx_int_t
ngx_http_upload_file_prepare(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx)
{
    if (ctx->buffer == NULL) {
        ctx->buffer = ngx_palloc(r->pool, ctx->conf->buffer_size);
        if (ctx->buffer == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    upload_writer_init(&ctx->writer, ctx->buffer, ctx->conf->buffer_size,
                       ctx->conf->fsync);

    upload_digest_free(&ctx->digest);

    if (upload_digest_init(&ctx->digest) != 0) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "upload digest cannot be initialized");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_copy(ngx_pool_t *pool, ngx_str_t *to, upload_str_t *from)
{
    if (from->len == 0) {
        return NGX_OK;
    }

    to->data = ngx_pnalloc(pool, from->len);
    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);
    to->len = from->len;

    return NGX_OK;
}


ngx_int_t
ngx_http_upload_file_data(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    const u_char *data, size_t len)
{
    off_t       size;
    ngx_err_t   err;

    size = ctx->writer.size + len;

    if ((ctx->conf->max_file_size && size > ctx->conf->max_file_size)
        || (ctx->granted_size && size > ctx->granted_size))
    {
        return ngx_http_upload_too_large(r, ctx, size);
    }

    if (upload_digest_update(&ctx->digest, data, len) != 0) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0, "upload digest failed");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    err = upload_writer_write(&ctx->writer, data, len);

    if (err) {
        return ngx_http_upload_write_failed(ctx, err, "written");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_upload_too_large(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    off_t size)
{
    u_char      *p;
    off_t        max;
    const char  *limit;

    if (ctx->granted_size && size > ctx->granted_size) {
        max = ctx->granted_size;
        limit = "the limit given for this upload";

    } else {
        max = ctx->conf->max_file_size;
        limit = "upload_max_file_size";

        if (ctx->conf->max_file_size_action == NGX_HTTP_UPLOAD_SIZE_SOFT) {
            ngx_log_error(NGX_LOG_WARN, ctx->log, 0,
                          "upload file \"%V\" is larger than %O bytes "
                          "(upload_max_file_size) and is discarded",
                          &ctx->file->path, max);

            ngx_http_upload_file_remove(ctx, ctx->file);
            upload_form_rollback(&ctx->form, ctx->mark);
            ctx->part = ngx_http_upload_part_skip;

            return NGX_OK;
        }
    }

    p = ngx_pnalloc(r->pool, NGX_MAX_ERROR_STR);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->error.data = p;
    ctx->error.len = ngx_sprintf(p, "the file is larger than %O bytes (%s)",
                                 max, limit)
                     - p;

    return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
}


static ngx_int_t
ngx_http_upload_write_failed(ngx_http_upload_ctx_t *ctx, ngx_err_t err,
    char *what)
{
    ngx_log_error(NGX_LOG_ERR, ctx->log, err,
                  "upload file \"%V\" cannot be %s", &ctx->file->path, what);

    switch (err) {

    case NGX_ENOSPC:
    case EDQUOT:
        ngx_str_set(&ctx->error, "no space is left for the file: free some "
                                 "in the directory of upload_store");
        return NGX_HTTP_INSUFFICIENT_STORAGE;

    case EFBIG:
        ngx_str_set(&ctx->error, "the file is larger than the file system of "
                                 "upload_store can hold");
        return NGX_HTTP_INSUFFICIENT_STORAGE;

    default:
        ngx_str_set(&ctx->error, "the file cannot be written, see the error "
                                 "log of nginx");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


/* NGX_AGAIN: a thread flushes the file, and the request goes on after that */

ngx_int_t
ngx_http_upload_file_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_err_t  err;

    err = upload_writer_flush(&ctx->writer);

    if (err) {
        return ngx_http_upload_write_failed(ctx, err, "written");
    }

    if (ctx->conf->fsync) {

#if (NGX_THREADS)
        {
        ngx_int_t  rc;

        rc = ngx_http_upload_flush(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
        }
#endif

        err = upload_writer_sync(ctx->writer.fd);
    }

    return ngx_http_upload_file_done(r, ctx, err);
}


#if (NGX_THREADS)

static ngx_int_t
ngx_http_upload_flush(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_str_t                  name;
    ngx_thread_pool_t         *tp;
    ngx_thread_task_t         *task;
    ngx_http_upload_flush_t   *flush;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->aio != NGX_HTTP_AIO_THREADS) {
        return NGX_DECLINED;
    }

    tp = clcf->thread_pool;

    if (tp == NULL) {
        if (ngx_http_complex_value(r, clcf->thread_pool_value, &name)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        tp = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);

        if (tp == NULL) {
            ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                          "thread pool \"%V\" not found", &name);
            return NGX_DECLINED;
        }
    }

    task = ctx->task;

    if (task == NULL) {
        task = ngx_thread_task_alloc(r->pool,
                                     sizeof(ngx_http_upload_flush_t));
        if (task == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        task->handler = ngx_http_upload_flush_thread;
        task->event.log = ctx->log;
        task->event.data = ctx;
        task->event.handler = ngx_http_upload_flush_event;
        ctx->task = task;
    }

    flush = task->ctx;
    flush->fd = ctx->writer.fd;

    if (ngx_thread_task_post(tp, task) != NGX_OK) {
        return NGX_DECLINED;
    }

    ctx->flushing = 1;
    r->write_event_handler = ngx_http_upload_flushed;

    /* the request stays in memory, and the file open, until the thread ends */

    r->main->blocked++;

    ngx_add_timer(&task->event, NGX_HTTP_UPLOAD_FLUSH_TIMER);

    return NGX_AGAIN;
}


static void
ngx_http_upload_flush_thread(void *data, ngx_log_t *log)
{
    ngx_http_upload_flush_t *flush = data;

    flush->err = upload_writer_sync(flush->fd);
}


static void
ngx_http_upload_flush_event(ngx_event_t *ev)
{
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_upload_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (ev->timedout) {
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_HTTP_UPLOAD_FLUSH_TIMER);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ctx->flushing = 0;
    r->main->blocked--;

    /* core has put another handler there if the request was terminated */

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_upload_flushed(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_upload_ctx_t    *ctx;
    ngx_http_upload_flush_t  *flush;

    ctx = ngx_http_upload_get_ctx(r);

    if (ctx->flushing) {
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    flush = ctx->task->ctx;

    rc = ngx_http_upload_file_done(r, ctx, flush->err);

    if (rc == NGX_OK) {
        ngx_http_upload_process(r, ctx);

    } else {
        ngx_http_upload_fail(r, ctx, rc);
    }
}

#endif


static ngx_int_t
ngx_http_upload_file_done(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_err_t err)
{
    off_t                    rate;
    ngx_msec_t               ms;
    ngx_http_upload_file_t  *file;

    if (err) {
        return ngx_http_upload_write_failed(ctx, err, "flushed to disk");
    }

    err = upload_writer_close(&ctx->writer);
    if (err) {
        return ngx_http_upload_write_failed(ctx, err, "closed");
    }

    file = ctx->file;

    if (upload_digest_final(&ctx->digest, file->sha256) != 0) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0, "upload digest failed");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    upload_digest_free(&ctx->digest);

    file->size = ctx->writer.size;
    file->complete = 1;

    ms = ngx_current_msec - file->started;
    rate = file->size / (ms ? ms : 1) / 1000;

    ngx_log_error(NGX_LOG_INFO, ctx->log, 0,
                  "upload file \"%V\": %O bytes in %M.%03M s, %O MB/s, "
                  "sha256 %*s",
                  &file->path, file->size, ms / 1000, ms % 1000, rate,
                  (size_t) UPLOAD_SHA256_HEX, file->sha256);

    return ngx_http_upload_form_fields(r, ctx, ctx->conf->aggregate_fields);
}


/* removes what is there: a backend may have claimed the file by a rename */

void
ngx_http_upload_file_remove(ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_file_t *file)
{
    if (file == ctx->file) {
        (void) upload_writer_close(&ctx->writer);
    }

    if (!file->created) {
        return;
    }

    file->created = 0;
    file->complete = 0;

    if (ngx_delete_file(file->path.data) == NGX_FILE_ERROR
        && ngx_errno != NGX_ENOENT)
    {
        ngx_log_error(NGX_LOG_ERR, ctx->log, ngx_errno,
                      "upload file \"%V\" cannot be removed", &file->path);
    }
}
