
/*
 * Why an upload failed: statuses, and the sentence in $upload_error that
 * says the remedy; and the line in the log about one that did not.
 */


#include "ngx_http_upload.h"


/* digests are logged in this order, and most people have the first one */

static struct {
    upload_digest_kind_e   kind;
    char                  *name;
} ngx_http_upload_digest_names[] = {
    { UPLOAD_DIGEST_SHA256, "sha256" },
    { UPLOAD_DIGEST_SHA512, "sha512" },
    { UPLOAD_DIGEST_SHA1, "sha1" },
    { UPLOAD_DIGEST_MD5, "md5" },
    { UPLOAD_DIGEST_CRC32, "crc32" },
    { UPLOAD_DIGEST_KINDS, NULL }
};


/* returns the status, so that it can be the last statement of a check */

ngx_int_t
ngx_http_upload_reason(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_int_t rc, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    if (ctx->failure) {
        /* what came first is the reason */
        return rc;
    }

    p = ngx_pnalloc(r->pool, NGX_MAX_ERROR_STR);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    va_start(args, fmt);
    ctx->error.len = ngx_vslprintf(p, p + NGX_MAX_ERROR_STR, fmt, args) - p;
    va_end(args);

    ctx->error.data = p;

    return rc;
}


/* the reasons of what core found out */

void
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

    default:
        break;
    }
}


/* what a thread, or the event loop in its place, could not do */

ngx_int_t
ngx_http_upload_work_failed(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    int err)
{
    const char  *failed;

    switch (err) {

    case UPLOAD_APPEND_LOCKED:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_UPLOAD_LOCKED,
                                      "another request is writing to this "
                                      "upload: try again when it is over");

    case UPLOAD_APPEND_OFFSET:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_CONFLICT,
                                      "the upload has %O bytes, and the "
                                      "request goes on at another offset",
                                      ctx->append->size);

    case UPLOAD_APPEND_CHECKSUM:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_UPLOAD_MISMATCH,
                                      "the body does not have the checksum "
                                      "that was announced: send it again");

    case UPLOAD_SEGMENT_CLAIMED:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_CONFLICT,
                                      "another request still uses the file of "
                                      "this session: try again later");

    case UPLOAD_SEGMENT_TOTAL:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_CONFLICT,
                                      "the total size differs from that of "
                                      "the ranges before");

    case UPLOAD_SEGMENT_CORRUPT:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_CONFLICT,
                                      "the state of this session cannot be "
                                      "read: begin a new session");

    default:
        break;
    }

    failed = ctx->sink.failed ? ctx->sink.failed : "opened";

    ngx_log_error(NGX_LOG_ERR, ctx->log, err,
                  "upload file \"%V\" cannot be %s", &ctx->file->path, failed);

    switch (err) {

    case NGX_ENOSPC:
    case EDQUOT:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_INSUFFICIENT_STORAGE,
                                      "no space is left for the file: free "
                                      "some in the directory of upload_store");

    case EFBIG:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_INSUFFICIENT_STORAGE,
                                      "the file is larger than the file "
                                      "system of upload_store can hold");

    case NGX_ENOENT:
    case NGX_EACCES:
    case EROFS:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      "the file cannot be opened: check that "
                                      "its directory exists and that nginx "
                                      "may write to it");

    default:
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                      "the file cannot be %s, see the error "
                                      "log of nginx", failed);
    }
}


void
ngx_http_upload_log(ngx_http_upload_ctx_t *ctx)
{
    off_t                    size;
    size_t                   len;
    ngx_uint_t               i;
    ngx_msec_t               ms;
    ngx_http_upload_file_t  *file;
    const char              *name;
    u_char                   hex[UPLOAD_DIGEST_HEX_MAX];

    file = ctx->file;

    len = 0;
    name = "";

    for (i = 0; file->digest && ngx_http_upload_digest_names[i].name; i++) {

        len = upload_digest_hex(file->digest,
                                ngx_http_upload_digest_names[i].kind, hex);
        if (len) {
            name = ngx_http_upload_digest_names[i].name;
            break;
        }
    }

    size = ctx->queued;
    ms = ngx_current_msec - file->started;

    ngx_log_error(NGX_LOG_INFO, ctx->log, 0,
                  "upload file \"%V\": %O bytes in %M.%03M s, %O MB/s, "
                  "size %O%s%s%s%*s",
                  &file->path, size, ms / 1000, ms % 1000,
                  size / (off_t) (ms ? ms : 1) / 1000, file->size,
                  len ? ", " : "", name, len ? " " : "", len, hex);
}
