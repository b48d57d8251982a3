
/*
 * The memory that a body is received into.
 *
 * Core receives into one buffer and takes it again when everything in it was
 * consumed.  A thread may still have to write that, so between two reads core
 * is given another buffer.  When there is none, nothing is read: that is the
 * back-pressure which reaches the client as a window that is full.
 */


#include "ngx_http_upload.h"

#include <sys/mman.h>


/* so little at the end of a body is received where the rest of it is */
#define NGX_HTTP_UPLOAD_TAIL   (16 * 1024)

/*
 * The first buffer of ours: a client that does not fill it at once is slow,
 * and thousands of those are to fit in memory.
 */
#define NGX_HTTP_UPLOAD_SMALL  (32 * 1024)

/* smaller buffers are not worth aligning to the pages of the file */
#define NGX_HTTP_UPLOAD_ALIGN  4

#if (NGX_HTTP_V2)

/*
 * The buffers of an HTTP/2 stream are as large as its window: one is filled
 * while a thread works on the other.
 */
#define NGX_HTTP_UPLOAD_STREAM_BUFFERS  2

/* after some reads of no more than that a stream is slow */
#define NGX_HTTP_UPLOAD_STREAM_SMALL    (16 * 1024)
#define NGX_HTTP_UPLOAD_STREAM_READS    3

#endif


#if (NGX_HTTP_V2)
static void ngx_http_upload_buffer_trim(ngx_http_upload_ctx_t *ctx);
#endif
static ngx_int_t ngx_http_upload_buffer_grow(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx);
static ngx_int_t ngx_http_upload_buffer_switch(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, size_t size);
static ngx_buf_t *ngx_http_upload_buffer_create(ngx_pool_t *pool, size_t size);
static void ngx_http_upload_buffer_rewind(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_buf_t *b);
static ngx_http_upload_buffer_t *ngx_http_upload_buffer_find(
    ngx_http_upload_ctx_t *ctx, ngx_uint_t count);
static void ngx_http_upload_buffer_discard(u_char *start, u_char *end);
static void ngx_http_upload_buffer_free(ngx_pool_t *pool, ngx_buf_t *b);


#define ngx_http_upload_buffer_busy(ctx, buffer)                              \
    ((buffer)->batch > (ctx)->finished)


/* core has its own buffer, unless it did not need any */

void
ngx_http_upload_buffers_init(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    if (r->request_body == NULL || r->request_body->buf == NULL) {
        return;
    }

    ctx->current = &ctx->buffers[0];
    ctx->current->buf = r->request_body->buf;

    /* the window of an HTTP/2 stream is as large as this one */

#if (NGX_HTTP_V2)
    ctx->current->once = (r->stream == NULL);
#else
    ctx->current->once = 1;
#endif
}


/* the batch that is being filled refers to these data */

void
ngx_http_upload_buffer_used(ngx_http_upload_ctx_t *ctx, const u_char *data)
{
    ngx_buf_t  *b;

    if (ctx->current == NULL) {
        return;
    }

    b = ctx->current->buf;

    if (data >= b->start && data < b->end) {
        ctx->current->batch = ctx->batch_number;
    }
}


/*
 * Lets core receive more without touching what is still to be written.
 * NGX_AGAIN: there is no room until the thread is done.
 */

ngx_int_t
ngx_http_upload_buffer_ready(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    off_t                      rest;
    ngx_buf_t                 *b;
    ngx_int_t                  rc;
    ngx_http_upload_buffer_t  *current;

    current = ctx->current;

    if (current == NULL) {
        return NGX_OK;
    }

    b = current->buf;

    if (b->pos != b->last) {
        /* core has not looked at that yet */
        return NGX_OK;
    }

#if (NGX_HTTP_V2)

    if (r->stream) {

        /* core begins at the start of the buffer again after each read */

        ngx_http_upload_buffer_trim(ctx);

        if (ngx_http_upload_buffer_busy(ctx, current) && !ctx->working) {
            rc = ngx_http_upload_submit(r, ctx);
            if (rc != NGX_OK) {
                return rc;
            }
        }

        if (!ngx_http_upload_buffer_busy(ctx, current)) {
            return NGX_OK;
        }

        return ngx_http_upload_buffer_switch(r, ctx, b->end - b->start);
    }

#endif

    if (b->last == b->end && !ctx->working) {
        rc = ngx_http_upload_submit(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rest = r->headers_in.content_length_n - ctx->received;

    if (current->once && !r->headers_in.chunked
        && rest <= NGX_HTTP_UPLOAD_TAIL && rest <= b->end - b->last)
    {
        return NGX_OK;
    }

    if (current == &ctx->buffers[0] && current->once) {

        /* core's own: we go on in one of ours */

        rc = ngx_http_upload_buffer_grow(r, ctx);

        return (rc == NGX_AGAIN && b->last < b->end) ? NGX_OK : rc;
    }

    if (!ngx_http_upload_buffer_busy(ctx, current)) {

        /* a slow upload stays in the same few pages */

        ngx_http_upload_buffer_rewind(r, ctx, b);
        return NGX_OK;
    }

    return (b->last < b->end) ? NGX_OK : ngx_http_upload_buffer_grow(r, ctx);
}


#if (NGX_HTTP_V2)

/*
 * A window is used up at once and then trickles, or never: what the first
 * burst has touched of its buffers goes back to the system.
 */

static void
ngx_http_upload_buffer_trim(ngx_http_upload_ctx_t *ctx)
{
    size_t                     size, small;
    u_char                    *start;
    ngx_uint_t                 i;
    ngx_http_upload_buffer_t  *buffer;

    buffer = ctx->current;
    size = buffer->buf->last - buffer->buf->start;
    small = NGX_HTTP_UPLOAD_STREAM_SMALL;

    if (size == 0) {
        return;
    }

    if (size > buffer->touched) {
        buffer->touched = size;
    }

    if (size > small) {
        ctx->small_reads = 0;
        return;
    }

    if (++ctx->small_reads < NGX_HTTP_UPLOAD_STREAM_READS) {
        return;
    }

    for (i = 0; i < NGX_HTTP_UPLOAD_STREAM_BUFFERS; i++) {
        buffer = &ctx->buffers[i];

        if (buffer->touched > small
            && (buffer == ctx->current
                || !ngx_http_upload_buffer_busy(ctx, buffer)))
        {
            start = buffer->buf->start;

            ngx_http_upload_buffer_discard(start + small,
                                           start + buffer->touched);
            buffer->touched = small;
        }
    }
}

#endif


static ngx_int_t
ngx_http_upload_buffer_grow(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    size_t      size;
    ngx_int_t   rc;
    ngx_uint_t  small;

    size = ctx->conf->buffer_size;

    small = !ctx->filled && size > NGX_HTTP_UPLOAD_SMALL;

    rc = ngx_http_upload_buffer_switch(r, ctx,
                                       small ? NGX_HTTP_UPLOAD_SMALL : size);

    if (rc == NGX_OK) {
        ctx->current->once = small;
        ctx->filled = 1;
    }

    return rc;
}


static ngx_int_t
ngx_http_upload_buffer_switch(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, size_t size)
{
    ngx_uint_t                 count;
    ngx_http_upload_buffer_t  *buffer;

    count = NGX_HTTP_UPLOAD_BUFFERS;

#if (NGX_HTTP_V2)
    if (r->stream) {
        count = NGX_HTTP_UPLOAD_STREAM_BUFFERS;
    }
#endif

    buffer = ngx_http_upload_buffer_find(ctx, count);
    if (buffer == NULL) {
        return NGX_AGAIN;
    }

    if (buffer->buf == NULL) {
        buffer->buf = ngx_http_upload_buffer_create(r->pool, size);
        if (buffer->buf == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_http_upload_buffer_rewind(r, ctx, buffer->buf);

    ctx->current = buffer;
    r->request_body->buf = buffer->buf;

    ngx_http_upload_buffers_free(r, ctx);

    return NGX_OK;
}


static ngx_buf_t *
ngx_http_upload_buffer_create(ngx_pool_t *pool, size_t size)
{
    ngx_buf_t  *b;

    b = ngx_calloc_buf(pool);
    if (b == NULL) {
        return NULL;
    }

    b->start = ngx_pmemalign(pool, size, ngx_pagesize);
    if (b->start == NULL) {
        return NULL;
    }

    b->end = b->start + size;
    b->temporary = 1;

    return b;
}


/* bytes are received where they have the alignment that the file has */

static void
ngx_http_upload_buffer_rewind(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_buf_t *b)
{
    b->pos = b->start;

#if (NGX_HTTP_V2)
    if (r->stream) {
        /* the window is the whole buffer */
        b->last = b->pos;
        return;
    }
#endif

    if ((size_t) (b->end - b->start) >= NGX_HTTP_UPLOAD_ALIGN * ngx_pagesize
        && ctx->file)
    {
        b->pos += (ctx->file->offset + ctx->queued) % (off_t) ngx_pagesize;
    }

    b->last = b->pos;
}


/* the one that was used last: its pages are in the cache */

static ngx_http_upload_buffer_t *
ngx_http_upload_buffer_find(ngx_http_upload_ctx_t *ctx, ngx_uint_t count)
{
    ngx_uint_t                 i;
    ngx_http_upload_buffer_t  *buffer, *found;

    found = NULL;

    for (i = 0; i < count; i++) {
        buffer = &ctx->buffers[i];

        if (buffer == ctx->current
            || ngx_http_upload_buffer_busy(ctx, buffer))
        {
            continue;
        }

        if (found == NULL
            || (buffer->buf && (found->buf == NULL
                                || buffer->batch > found->batch)))
        {
            found = buffer;
        }
    }

    return found;
}


/* core's own buffer, which may be much larger than ours, and the small one */

void
ngx_http_upload_buffers_free(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_http_upload_buffer_t  *buffer;

    for (i = 0; i < NGX_HTTP_UPLOAD_BUFFERS; i++) {
        buffer = &ctx->buffers[i];

        if (buffer->once && buffer != ctx->current
            && !ngx_http_upload_buffer_busy(ctx, buffer))
        {
            ngx_http_upload_buffer_free(r->pool, buffer->buf);

            buffer->buf = NULL;
            buffer->batch = 0;
            buffer->once = 0;
        }
    }
}


/*
 * The allocator keeps what is freed in the middle of its heap, and a thousand
 * uploads that begin at once would leave as many large buffers there: the
 * pages go back to the system first.
 */

static void
ngx_http_upload_buffer_free(ngx_pool_t *pool, ngx_buf_t *b)
{
    ngx_http_upload_buffer_discard(b->start, b->end);

    (void) ngx_pfree(pool, b->start);
}


/* the content of whole pages */

static void
ngx_http_upload_buffer_discard(u_char *start, u_char *end)
{
    start = ngx_align_ptr(start, ngx_pagesize);
    end -= (uintptr_t) end & (ngx_pagesize - 1);

    if (start < end) {
        (void) madvise(start, end - start, MADV_DONTNEED);
    }
}
