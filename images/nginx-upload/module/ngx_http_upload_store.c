
/*
 * Where uploaded files are created, and the directories for that.
 */


#include "ngx_http_upload.h"


/*
 * How far the number moves on when a file of that name exists: past what
 * another run of nginx may have left.  Scripts rely on the sequence.
 */
#define NGX_HTTP_UPLOAD_COLLISION  123456

/* a store where so many names in a row exist is not one of ours */
#define NGX_HTTP_UPLOAD_TRIES      1000

/* levels of more digits than that are created when they are needed */
#define NGX_HTTP_UPLOAD_DIGITS     3


ngx_int_t
ngx_http_upload_store_create(ngx_http_request_t *r,
    ngx_http_upload_ctx_t *ctx, ngx_http_upload_file_t *file)
{
    u_char      *name;
    size_t       prefix, len;
    uint32_t     n;
    ngx_err_t    err;
    ngx_int_t    rc;
    ngx_uint_t   i;
    ngx_path_t   path;

    rc = ngx_http_upload_store_path(r, ctx, ctx->conf->store, &path);
    if (rc != NGX_OK) {
        return rc;
    }

    prefix = path.name.len + 1 + path.len;
    len = prefix + NGX_HTTP_UPLOAD_NAME_LEN;

    name = ngx_pnalloc(r->pool, len + 1);
    if (name == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(name, path.name.data, path.name.len);

    n = (uint32_t) ngx_next_temp_number(0);
    err = NGX_EEXIST;

    for (i = 0; i < NGX_HTTP_UPLOAD_TRIES; i++) {

        (void) ngx_sprintf(name + prefix, "%010uD%Z", n);
        ngx_create_hashed_filename(&path, name, len);

        err = upload_sink_create(&ctx->sink, (char *) name,
                                 ctx->conf->store_access);

        if (err == NGX_ENOENT && path.len) {
            err = ngx_http_upload_store_levels(&path, name,
                                              (ngx_uid_t)
                                              NGX_CONF_UNSET_UINT);
            if (err == 0) {
                err = upload_sink_create(&ctx->sink, (char *) name,
                                         ctx->conf->store_access);
            }
        }

        if (err != NGX_EEXIST) {
            break;
        }

        (void) ngx_atomic_fetch_add(ngx_temp_number,
                                    NGX_HTTP_UPLOAD_COLLISION);
        n = (uint32_t) ngx_next_temp_number(0);
    }

    if (err) {
        return ngx_http_upload_store_failed(r, ctx, err, name);
    }

    file->path.data = name;
    file->path.len = len;
    file->created = 1;

    return NGX_OK;
}


/* the directory of a store for this request: NGX_OK or an error status */

ngx_int_t
ngx_http_upload_store_path(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_http_upload_store_t *store, ngx_path_t *path)
{
    ngx_str_t  name;

    *path = *store->path;

    if (store->value == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, store->value, &name) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (name.len > 1 && name.data[name.len - 1] == '/') {
        name.len--;
    }

    if (name.len == 0 || ngx_strlchr(name.data, name.data + name.len, '\0')) {
        ngx_log_error(NGX_LOG_ERR, ctx->log, 0,
                      "the variables of \"upload_store\" name no directory");
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                      "upload_store names no directory");
    }

    path->name = name;

    if (ngx_get_full_name(r->pool, (ngx_str_t *) &ngx_cycle->prefix,
                          &path->name)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}


/* characters of a name that its directories are called after */

size_t
ngx_http_upload_store_digits(ngx_path_t *path)
{
    size_t      digits;
    ngx_uint_t  i;

    digits = 0;

    for (i = 0; i < NGX_MAX_PATH_LEVEL && path->level[i]; i++) {
        digits += path->level[i];
    }

    return digits;
}


/* the directories above a file, with the access rights of the store */

ngx_err_t
ngx_http_upload_store_levels(ngx_path_t *path, u_char *name, ngx_uid_t user)
{
    u_char           *p;
    ngx_err_t         err;
    ngx_uint_t        i;
    ngx_file_info_t   fi;

    p = name + path->name.len;
    *p = '\0';

    err = (ngx_file_info(name, &fi) == NGX_FILE_ERROR) ? ngx_errno : 0;

    for (i = 0; err == 0 && i < NGX_MAX_PATH_LEVEL && path->level[i]; i++) {

        *p = '/';
        p += path->level[i] + 1;
        *p = '\0';

        if (ngx_create_dir(name, 0700) == NGX_FILE_ERROR) {
            err = (ngx_errno == NGX_EEXIST) ? 0 : ngx_errno;
            continue;
        }

        /* in this order: root without CAP_FOWNER may only change its own */

        if (chmod((char *) name, fi.st_mode & 07777) == -1
            || (user != (ngx_uid_t) NGX_CONF_UNSET_UINT
                && chown((char *) name, user, -1) == -1))
        {
            err = ngx_errno;
        }
    }

    *p = '/';

    return err;
}


ngx_int_t
ngx_http_upload_store_failed(ngx_http_request_t *r, ngx_http_upload_ctx_t *ctx,
    ngx_err_t err, u_char *name)
{
    ngx_log_error(NGX_LOG_ERR, ctx->log, err,
                  "upload file \"%s\" cannot be created", name);

    if (err == NGX_ENOSPC || err == EDQUOT) {
        return ngx_http_upload_reason(r, ctx, NGX_HTTP_INSUFFICIENT_STORAGE,
                                      "no space is left for the file: free "
                                      "some in the directory of upload_store");
    }

    return ngx_http_upload_reason(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                  "the file cannot be created: check that the "
                                  "directory of upload_store exists and that "
                                  "nginx may write to it");
}


ngx_int_t
ngx_http_upload_store_init(ngx_cycle_t *cycle)
{
    u_char                       *name;
    size_t                        len, digits;
    uint32_t                      n, last;
    ngx_err_t                     err;
    ngx_uint_t                    i;
    ngx_path_t                  **path;
    ngx_core_conf_t              *ccf;
    ngx_http_upload_main_conf_t  *umcf;

    umcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_upload_module);

    if (umcf == NULL) {
        /* no http {} */
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    path = umcf->stores.elts;

    for (i = 0; i < umcf->stores.nelts; i++) {

        digits = ngx_http_upload_store_digits(path[i]);

        if (digits == 0 || digits > NGX_HTTP_UPLOAD_DIGITS) {
            continue;
        }

        for (last = 1; digits; digits--) {
            last *= 10;
        }

        len = path[i]->name.len + 1 + path[i]->len + NGX_HTTP_UPLOAD_NAME_LEN;

        name = ngx_alloc(len + 1, cycle->log);
        if (name == NULL) {
            return NGX_ERROR;
        }

        for (n = 0, err = 0; err == 0 && n < last; n++) {
            (void) ngx_sprintf(name, "%V", &path[i]->name);
            (void) ngx_sprintf(name + len - NGX_HTTP_UPLOAD_NAME_LEN,
                               "%010uD%Z", n);
            ngx_create_hashed_filename(path[i], name, len);

            err = ngx_http_upload_store_levels(path[i], name,
                                              geteuid() ? (ngx_uid_t)
                                              NGX_CONF_UNSET_UINT : ccf->user);
        }

        if (err) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, err,
                          "the directories of \"upload_store %V\" cannot be "
                          "created", &path[i]->name);
        }

        ngx_free(name);

        /*
         * An error here would end a master that was told to reload; its
         * requests try again, and answer 503.
         */

        if (err && ngx_is_init_cycle(cycle->old_cycle)) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
