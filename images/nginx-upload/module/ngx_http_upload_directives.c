
/*
 * The directives of the upload module that take more than a plain value.
 */


#include "ngx_http_upload.h"


static ngx_int_t ngx_http_upload_add_store(ngx_conf_t *cf,
    ngx_http_upload_store_t *store);
static ngx_int_t ngx_http_upload_no_value(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


char *
ngx_http_upload_set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      *rv;
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    value = cf->args->elts;

    if (value[1].len == 0
        || (value[1].data[0] != '/' && value[1].data[0] != '@'
            && value[1].data[0] != '$'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"upload_pass\" takes a URI, a named location "
                           "or variables, not \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_set_complex_value_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_upload_handler;

    return NGX_CONF_OK;
}


char *
ngx_http_upload_set_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ssize_t                            level;
    ngx_str_t                         *value;
    ngx_uint_t                         i, n;
    ngx_path_t                        *path;
    ngx_http_complex_value_t           cv;
    ngx_http_upload_store_t           *store, **field;
    ngx_http_compile_complex_value_t   ccv;

    field = (ngx_http_upload_store_t **) (p + cmd->offset);

    if (*field) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "has an empty path";
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = &cv;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    store = ngx_pcalloc(cf->pool, sizeof(ngx_http_upload_store_t));
    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (store == NULL || path == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0, n = 2; n < cf->args->nelts; i++, n++) {
        level = ngx_atoi(value[n].data, value[n].len);
        if (level == NGX_ERROR || level == 0) {
            return "has an invalid level";
        }

        path->level[i] = level;
        path->len += level + 1;
    }

    if (path->len > NGX_HTTP_UPLOAD_NAME_LEN + i) {
        return "has more levels than a file name has digits";
    }

    *field = store;
    store->path = path;
    path->name = value[1];

    if (cv.lengths) {
        store->value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (store->value == NULL) {
            return NGX_CONF_ERROR;
        }

        *store->value = cv;

        return NGX_CONF_OK;
    }

    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    return (ngx_http_upload_add_store(cf, store) == NGX_OK) ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


/* core creates the directory, and we those of its levels */

static ngx_int_t
ngx_http_upload_add_store(ngx_conf_t *cf, ngx_http_upload_store_t *store)
{
    ngx_path_t                   *path, **slot;
    ngx_http_upload_main_conf_t  *umcf;

    path = store->path;

    if (path->name.len > 1 && path->name.data[path->name.len - 1] == '/') {
        path->name.data[--path->name.len] = '\0';
    }

    if (ngx_conf_full_name(cf->cycle, &path->name, 0) != NGX_OK
        || ngx_add_path(cf, &store->path) != NGX_OK)
    {
        return NGX_ERROR;
    }

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upload_module);

    slot = ngx_array_push(&umcf->stores);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    *slot = store->path;

    return NGX_OK;
}


/* the default of the classic module, odd as it is: that of proxy_temp_path */

ngx_int_t
ngx_http_upload_default_store(ngx_conf_t *cf, ngx_http_upload_store_t **store)
{
    ngx_path_t  *path;

    if (*store) {
        return NGX_OK;
    }

    *store = ngx_pcalloc(cf->pool, sizeof(ngx_http_upload_store_t));
    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (*store == NULL || path == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&path->name, NGX_HTTP_PROXY_TEMP_PATH);
    path->level[0] = 1;
    path->level[1] = 2;
    path->len = 1 + 1 + 2 + 1;

    (*store)->path = path;

    return ngx_http_upload_add_store(cf, *store);
}


/* core's own setters log a wrong value without the directive's name */

char *
ngx_http_upload_set_access(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *rv;

    rv = ngx_conf_set_access_slot(cf, cmd, conf);

    return (rv == NGX_CONF_ERROR) ? "takes user:, group: and all: with r or rw"
                                  : rv;
}


char *
ngx_http_upload_set_action(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *rv;

    rv = ngx_conf_set_enum_slot(cf, cmd, conf);

    return (rv == NGX_CONF_ERROR) ? "takes soft or reject" : rv;
}


char *
ngx_http_upload_set_pair(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t                         *value, name;
    ngx_uint_t                         i;
    ngx_array_t                      **pairs;
    ngx_http_upload_pair_t            *pair;
    ngx_http_compile_complex_value_t   ccv;

    pairs = (ngx_array_t **) (p + cmd->offset);

    if (*pairs == NGX_CONF_UNSET_PTR) {
        *pairs = ngx_array_create(cf->pool, 4, sizeof(ngx_http_upload_pair_t));
        if (*pairs == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    pair = ngx_array_push(*pairs);
    if (pair == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < 3; i++) {

        if (cmd->offset == offsetof(ngx_http_upload_loc_conf_t, form_fields)
            && ngx_http_upload_aggregate_variable(&value[i], &name))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "variable \"$%V\" is not known yet in \"%V\", "
                               "use \"upload_aggregate_form_field\"",
                               &name, &cmd->name);
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = (i == 1) ? &pair->name : &pair->value;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_upload_set_pass_field(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upload_loc_conf_t  *ulcf = conf;

#if (NGX_PCRE)

    u_char                errstr[NGX_MAX_CONF_ERRSTR];
    ngx_str_t            *value;
    ngx_regex_elt_t      *re;
    ngx_regex_compile_t   rc;

    if (ulcf->pass_fields == NGX_CONF_UNSET_PTR) {
        ulcf->pass_fields = ngx_array_create(cf->pool, 4,
                                             sizeof(ngx_regex_elt_t));
        if (ulcf->pass_fields == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    re = ngx_array_push(ulcf->pass_fields);
    if (re == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    rc.pattern = value[1];
    rc.pool = cf->pool;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    if (ngx_regex_compile(&rc) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %V",
                           &cmd->name, &rc.err);
        return NGX_CONF_ERROR;
    }

    re->regex = rc.regex;
    re->name = value[1].data;

    return NGX_CONF_OK;

#else

    (void) ulcf;

    return "requires PCRE library";

#endif
}


char *
ngx_http_upload_set_cleanup(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upload_loc_conf_t  *ulcf = conf;

    u_char                      *dash, *last;
    ngx_int_t                    from, to;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_http_upload_statuses_t  *statuses;

    if (ulcf->cleanup == NGX_CONF_UNSET_PTR) {
        ulcf->cleanup = ngx_array_create(cf->pool, 2,
                                         sizeof(ngx_http_upload_statuses_t));
        if (ulcf->cleanup == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        last = value[i].data + value[i].len;
        dash = ngx_strlchr(value[i].data, last, '-');

        if (dash) {
            from = ngx_atoi(value[i].data, dash - value[i].data);
            to = ngx_atoi(dash + 1, last - dash - 1);

        } else {
            from = ngx_atoi(value[i].data, value[i].len);
            to = from;
        }

        if (from < NGX_HTTP_OK || to > 599 || from > to) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" takes statuses or ranges of them "
                               "from 200 to 599, not \"%V\"",
                               &cmd->name, &value[i]);
            return NGX_CONF_ERROR;
        }

        statuses = ngx_array_push(ulcf->cleanup);
        if (statuses == NULL) {
            return NGX_CONF_ERROR;
        }

        statuses->from = from;
        statuses->to = to;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_upload_set_variable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upload_loc_conf_t  *ulcf = conf;

    ngx_str_t                         *value;
    ngx_http_variable_t               *v;
    ngx_http_upload_variable_t        *uv;
    ngx_http_compile_complex_value_t   ccv;

    value = cf->args->elts;

    if (value[1].len < 2 || value[1].data[0] != '$') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" takes a variable first, not \"%V\"",
                           &cmd->name, &value[1]);
        return NGX_CONF_ERROR;
    }

    value[1].len--;
    value[1].data++;

    if (ulcf->authorize_variables == NGX_CONF_UNSET_PTR) {
        ulcf->authorize_variables =
            ngx_array_create(cf->pool, 1, sizeof(ngx_http_upload_variable_t));
        if (ulcf->authorize_variables == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    uv = ngx_array_push(ulcf->authorize_variables);
    if (uv == NULL) {
        return NGX_CONF_ERROR;
    }

    v = ngx_http_add_variable(cf, &value[1], NGX_HTTP_VAR_CHANGEABLE);
    if (v == NULL) {
        return NGX_CONF_ERROR;
    }

    uv->index = ngx_http_get_variable_index(cf, &value[1]);
    if (uv->index == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (v->get_handler == NULL) {
        v->get_handler = ngx_http_upload_no_value;
    }

    uv->set_handler = v->set_handler;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[2];
    ccv.complex_value = &uv->value;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_upload_no_value(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    v->not_found = 1;

    return NGX_OK;
}
