
/*
 * The directives of the upload module and their inheritance.
 */


#include "ngx_http_upload.h"


/*
 * Large enough for one write to keep a disk busy, small enough for hundreds
 * of uploads at a time.
 */
#define NGX_HTTP_UPLOAD_BUFFER_SIZE    (256 * 1024)

/* a smaller buffer or header line cannot hold one sensible header */
#define NGX_HTTP_UPLOAD_BUFFER_MIN     128

/* file names of 4 kilobytes, percent-encoded in part, and their parameters */
#define NGX_HTTP_UPLOAD_HEADER_MAX     (8 * 1024)

/* more than any form a person fills in; the classic default */
#define NGX_HTTP_UPLOAD_OUTPUT_MAX     (100 * 1024)


static char *ngx_http_upload_check_buffer(ngx_conf_t *cf, void *post,
    void *data);


static ngx_conf_post_t  ngx_http_upload_buffer_post = {
    ngx_http_upload_check_buffer
};


static ngx_conf_enum_t  ngx_http_upload_size_actions[] = {
    { ngx_string("soft"), NGX_HTTP_UPLOAD_SIZE_SOFT },
    { ngx_string("reject"), NGX_HTTP_UPLOAD_SIZE_REJECT },
    { ngx_null_string, 0 }
};


#define NGX_HTTP_UPLOAD_CONF                                                  \
    NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF                    \
    |NGX_HTTP_LIF_CONF|NGX_HTTP_LMT_CONF


ngx_command_t  ngx_http_upload_commands[] = {

    { ngx_string("upload_pass"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_http_upload_set_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, pass),
      NULL },

    { ngx_string("upload_authorize"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, authorize),
      NULL },

    { ngx_string("upload_authorize_set"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE2,
      ngx_http_upload_set_variable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, authorize_variables),
      NULL },

    { ngx_string("upload_store"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1234,
      ngx_http_upload_set_store,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, store),
      NULL },

    { ngx_string("upload_store_access"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE123,
      ngx_http_upload_set_access,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, store_access),
      NULL },

    { ngx_string("upload_buffer_size"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, buffer_size),
      &ngx_http_upload_buffer_post },

    { ngx_string("upload_fsync"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, fsync),
      NULL },

    { ngx_string("upload_max_part_header_len"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, max_part_header_len),
      &ngx_http_upload_buffer_post },

    { ngx_string("upload_max_output_body_len"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, max_output_body_len),
      NULL },

    { ngx_string("upload_max_file_size"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, max_file_size),
      NULL },

    { ngx_string("upload_max_file_size_action"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_http_upload_set_action,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, max_file_size_action),
      &ngx_http_upload_size_actions },

    { ngx_string("upload_set_form_field"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE2,
      ngx_http_upload_set_pair,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, form_fields),
      NULL },

    { ngx_string("upload_aggregate_form_field"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE2,
      ngx_http_upload_set_pair,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, aggregate_fields),
      NULL },

    { ngx_string("upload_pass_form_field"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_http_upload_set_pass_field,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, pass_fields),
      NULL },

    { ngx_string("upload_add_header"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE2,
      ngx_http_upload_set_pair,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, headers),
      NULL },

    { ngx_string("upload_cleanup"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_1MORE,
      ngx_http_upload_set_cleanup,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, cleanup),
      NULL },

    { ngx_string("upload_pass_args"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, pass_args),
      NULL },

    { ngx_string("upload_tame_arrays"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, tame_arrays),
      NULL },

      ngx_null_command
};


void *
ngx_http_upload_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_upload_main_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_upload_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    ngx_queue_init(&conf->live);

    if (ngx_array_init(&conf->stores, cf->pool, 1, sizeof(ngx_path_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


void *
ngx_http_upload_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_upload_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_upload_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->pass = NULL;
     *     conf->store = NULL;
     */

    conf->authorize = NGX_CONF_UNSET_PTR;
    conf->authorize_variables = NGX_CONF_UNSET_PTR;
    conf->store_access = NGX_CONF_UNSET_UINT;
    conf->buffer_size = NGX_CONF_UNSET_SIZE;
    conf->fsync = NGX_CONF_UNSET;
    conf->max_part_header_len = NGX_CONF_UNSET_SIZE;
    conf->max_output_body_len = NGX_CONF_UNSET_SIZE;
    conf->max_file_size = NGX_CONF_UNSET;
    conf->max_file_size_action = NGX_CONF_UNSET_UINT;
    conf->form_fields = NGX_CONF_UNSET_PTR;
    conf->aggregate_fields = NGX_CONF_UNSET_PTR;
    conf->pass_fields = NGX_CONF_UNSET_PTR;
    conf->headers = NGX_CONF_UNSET_PTR;
    conf->cleanup = NGX_CONF_UNSET_PTR;
    conf->pass_args = NGX_CONF_UNSET;
    conf->tame_arrays = NGX_CONF_UNSET;

    return conf;
}


char *
ngx_http_upload_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_upload_loc_conf_t *prev = parent;
    ngx_http_upload_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    if (conf->store == NULL) {
        conf->store = prev->store;
    }

    ngx_conf_merge_ptr_value(conf->authorize, prev->authorize, NULL);
    ngx_conf_merge_ptr_value(conf->authorize_variables,
                              prev->authorize_variables, NULL);
    ngx_conf_merge_uint_value(conf->store_access, prev->store_access, 0600);
    ngx_conf_merge_size_value(conf->buffer_size, prev->buffer_size,
                              NGX_HTTP_UPLOAD_BUFFER_SIZE);
    ngx_conf_merge_value(conf->fsync, prev->fsync, 1);
    ngx_conf_merge_size_value(conf->max_part_header_len,
                              prev->max_part_header_len,
                              NGX_HTTP_UPLOAD_HEADER_MAX);
    ngx_conf_merge_size_value(conf->max_output_body_len,
                              prev->max_output_body_len,
                              NGX_HTTP_UPLOAD_OUTPUT_MAX);
    ngx_conf_merge_off_value(conf->max_file_size, prev->max_file_size, 0);
    ngx_conf_merge_uint_value(conf->max_file_size_action,
                              prev->max_file_size_action,
                              NGX_HTTP_UPLOAD_SIZE_SOFT);
    ngx_conf_merge_ptr_value(conf->form_fields, prev->form_fields, NULL);
    ngx_conf_merge_ptr_value(conf->aggregate_fields, prev->aggregate_fields,
                              NULL);
    ngx_conf_merge_ptr_value(conf->pass_fields, prev->pass_fields, NULL);
    ngx_conf_merge_ptr_value(conf->headers, prev->headers, NULL);
    ngx_conf_merge_ptr_value(conf->cleanup, prev->cleanup, NULL);
    ngx_conf_merge_value(conf->pass_args, prev->pass_args, 0);
    ngx_conf_merge_value(conf->tame_arrays, prev->tame_arrays, 0);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->pass == NULL) {
        conf->pass = prev->pass;

        /* blocks that core enters without resetting the handler */

        if (conf->pass && clcf->lmt_excpt && clcf->handler == NULL) {
            clcf->handler = ngx_http_upload_handler;
        }
    }

    if (clcf->handler == ngx_http_upload_handler
        && conf->store == NULL
        && clcf->name.len)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"upload_pass\" in location \"%V\" needs "
                      "an \"upload_store\" directory", &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_upload_check_buffer(ngx_conf_t *cf, void *post, void *data)
{
    size_t *size = data;

    if (*size < NGX_HTTP_UPLOAD_BUFFER_MIN) {
        return "must be 128 bytes or more";
    }

    return NGX_CONF_OK;
}
