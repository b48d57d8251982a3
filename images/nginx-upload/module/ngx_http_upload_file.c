
/*
 * One uploaded file: created when its part begins, flushed to disk when it
 * ends, and removed when the upload fails.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_copy(ngx_pool_t *pool, ngx_str_t *to,
    upload_str_t *from);
static int ngx_http_upload_discard_step(void *data);
static ngx_int_t ngx_http_upload_discarded(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static int ngx_http_upload_finish_step(void *data);
static ngx_int_t ngx_http_upload_finished(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);


/* what a part, or the headers of a raw request, say about a file */

ngx_http_upload_file_t *
ngx_http_upload_file_new(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    upload_part_t *part)
{
    ngx_http_upload_file_t  *file;

    file = ngx_pcalloc(r->pool, sizeof(ngx_http_upload_file_t));
    if (file == NULL) {
        return NULL;
    }

    if (ngx_http_upload_copy(r->pool, &file->field_name, &part->name)
        != NGX_OK
        || ngx_http_upload_copy(r->pool, &file->file_name, &part->file_name)
           != NGX_OK
        || ngx_http_upload_copy(r->pool, &file->content_type,
                                &part->content_type)
           != NGX_OK)
    {
        return NULL;
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
    ctx->queued = 0;

    return file;
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
ngx_http_upload_file_begin(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    upload_part_t *part)
{
    ngx_int_t                rc;
    ngx_http_upload_file_t  *file;

    file = ngx_http_upload_file_new(r, ctx, part);
    if (file == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    upload_sink_init(&ctx->sink, ctx->conf->digests, ctx->conf->fsync);

    if (ctx->conf->preallocate
        && !r->headers_in.chunked
        && r->headers_in.content_length_n > ctx->received)
    {
        /* the body has little more than its files */
        ctx->sink.reserve = r->headers_in.content_length_n - ctx->received;
    }

    rc = ngx_http_upload_store_create(r, ctx, file);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_upload_form_fields(r, ctx, ctx->conf->form_fields);
}


/*
 * Checks the limits of a file that is going to have so many bytes.  Where the
 * limit is soft, the file ends here and the request goes on.
 */

ngx_int_t
ngx_http_upload_file_size(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    off_t size)
{
    off_t        max;
    const char  *limit;

    if (ctx->granted_size >= 0 && size > ctx->granted_size) {
        max = ctx->granted_size;
        limit = "the limit given for this upload";

    } else if (ctx->conf->max_file_size && size > ctx->conf->max_file_size) {
        max = ctx->conf->max_file_size;
        limit = "upload_max_file_size";

        if (ctx->shape != ngx_http_upload_append
            && !(ctx->segment && ctx->segment->total)
            && ctx->conf->max_file_size_action == NGX_HTTP_UPLOAD_SIZE_SOFT)
        {
            ngx_log_error(NGX_LOG_WARN, ctx->log, 0,
                          "upload file \"%V\" is larger than %O bytes "
                          "(upload_max_file_size) and is discarded",
                          &ctx->file->path, max);

            ctx->part = ngx_http_upload_part_skip;

            return ngx_http_upload_step(r, ctx, ngx_http_upload_discard_step,
                                        &ctx->sink, ngx_http_upload_discarded);
        }

    } else {
        return NGX_OK;
    }

    return ngx_http_upload_reason(r, ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                  "the file is larger than %O bytes (%s)",
                                  max, limit);
}


/* after all that is still to be written */

static int
ngx_http_upload_discard_step(void *data)
{
    return 0;
}


static ngx_int_t
ngx_http_upload_discarded(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_http_upload_file_remove(ctx, ctx->file);
    upload_form_rollback(&ctx->form, ctx->mark);

    return NGX_OK;
}


ngx_int_t
ngx_http_upload_file_end(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    return ngx_http_upload_step(r, ctx, ngx_http_upload_finish_step,
                                &ctx->sink, ngx_http_upload_finished);
}


static int
ngx_http_upload_finish_step(void *data)
{
    return upload_sink_finish(data);
}


static ngx_int_t
ngx_http_upload_finished(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    return ngx_http_upload_file_complete(r, ctx, ctx->sink.offset);
}


/* everything about the file is known now */

ngx_int_t
ngx_http_upload_file_complete(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, off_t size)
{
    ngx_http_upload_file_t  *file;

    file = ctx->file;

    file->size = size;
    file->complete = 1;

    if (ctx->sink.digest.kinds) {
        file->digest = ngx_palloc(r->pool, sizeof(upload_digest_t));
        if (file->digest == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        *file->digest = ctx->sink.digest;
    }

    ngx_http_upload_log(ctx);

    return ngx_http_upload_form_fields(r, ctx, ctx->conf->aggregate_fields);
}


/* removes what is there: a backend may have claimed the file by a rename */

void
ngx_http_upload_file_remove(ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_file_t *file)
{
    ngx_err_t  err;

    if (!file->created) {
        return;
    }

    file->created = 0;
    file->complete = 0;

    if (ctx->segment) {
        err = upload_segment_remove(ctx->segment);

    } else {
        err = (ngx_delete_file(file->path.data) == NGX_FILE_ERROR) ? ngx_errno
                                                                   : 0;
    }

    if (err && err != NGX_ENOENT) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, err,
                      "upload file \"%V\" cannot be removed", &file->path);
    }

    /* not before: whoever waits for its lock would find it */

    if (file == ctx->file) {
        (void) upload_sink_close(&ctx->sink);
    }
}
