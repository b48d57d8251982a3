
/*
 * The directives of the upload module and their inheritance.
 */


#include "ngx_http_upload.h"


/*
 * The page cache takes large writes with a third less of the CPU's time than
 * those of 256k; four of these are still small enough for hundreds of uploads,
 * and for the CPU's cache.
 */
#define NGX_HTTP_UPLOAD_BUFFER_SIZE    (512 * 1024)

/* a smaller buffer or header line cannot hold one sensible header */
#define NGX_HTTP_UPLOAD_BUFFER_MIN     128

/* defaults of the classic module */
#define NGX_HTTP_UPLOAD_HEADER_MAX     512
#define NGX_HTTP_UPLOAD_OUTPUT_MAX     (100 * 1024)
#define NGX_HTTP_UPLOAD_RANGES_MAX     256

/* a form of thousands of files is real, one of a million is an attack */
#define NGX_HTTP_UPLOAD_MAX_PARTS      10000
#define NGX_HTTP_UPLOAD_MAX_FIELDS     1000


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


#define NGX_HTTP_UPLOAD_BLOCKS                                                \
    (NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF)

#define NGX_HTTP_UPLOAD_CONF                                                  \
    (NGX_HTTP_UPLOAD_BLOCKS|NGX_HTTP_LIF_CONF|NGX_HTTP_LMT_CONF)


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

    { ngx_string("upload_state_store"),
      NGX_HTTP_UPLOAD_BLOCKS|NGX_CONF_TAKE1234,
      ngx_http_upload_set_store,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, state_store),
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

    { ngx_string("upload_merge_buffer_size"),
      NGX_HTTP_UPLOAD_BLOCKS|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, merge_buffer_size),
      NULL },

    { ngx_string("upload_range_header_buffer_size"),
      NGX_HTTP_UPLOAD_BLOCKS|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, range_header_buffer_size),
      &ngx_http_upload_buffer_post },

    { ngx_string("upload_limit_rate"),
      NGX_HTTP_UPLOAD_BLOCKS|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, limit_rate),
      NULL },

    { ngx_string("upload_append"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, append),
      NULL },

    { ngx_string("upload_resumable"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, resumable),
      NULL },

    { ngx_string("upload_preallocate"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, preallocate),
      NULL },

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

    { ngx_string("upload_max_parts"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, max_parts),
      NULL },

    { ngx_string("upload_max_fields"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, max_fields),
      NULL },

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

    /* the name is what the classic module understands */

    { ngx_string("upload_empty_fiels_names"),
      NGX_HTTP_UPLOAD_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_upload_loc_conf_t, empty_field_names),
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
     *     conf->state_store = NULL;
     *     conf->digests = 0;
     */

    conf->authorize = NGX_CONF_UNSET_PTR;
    conf->authorize_variables = NGX_CONF_UNSET_PTR;
    conf->store_access = NGX_CONF_UNSET_UINT;
    conf->buffer_size = NGX_CONF_UNSET_SIZE;
    conf->merge_buffer_size = NGX_CONF_UNSET_SIZE;
    conf->range_header_buffer_size = NGX_CONF_UNSET_SIZE;
    conf->limit_rate = NGX_CONF_UNSET_SIZE;
    conf->append = NGX_CONF_UNSET;
    conf->resumable = NGX_CONF_UNSET;
    conf->fsync = NGX_CONF_UNSET;
    conf->preallocate = NGX_CONF_UNSET;
    conf->max_part_header_len = NGX_CONF_UNSET_SIZE;
    conf->max_output_body_len = NGX_CONF_UNSET_SIZE;
    conf->max_file_size = NGX_CONF_UNSET;
    conf->max_file_size_action = NGX_CONF_UNSET_UINT;
    conf->max_parts = NGX_CONF_UNSET;
    conf->max_fields = NGX_CONF_UNSET;
    conf->form_fields = NGX_CONF_UNSET_PTR;
    conf->aggregate_fields = NGX_CONF_UNSET_PTR;
    conf->pass_fields = NGX_CONF_UNSET_PTR;
    conf->headers = NGX_CONF_UNSET_PTR;
    conf->cleanup = NGX_CONF_UNSET_PTR;
    conf->pass_args = NGX_CONF_UNSET;
    conf->tame_arrays = NGX_CONF_UNSET;
    conf->empty_field_names = NGX_CONF_UNSET;

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

    if (conf->state_store == NULL) {
        conf->state_store = prev->state_store;
    }

    ngx_conf_merge_ptr_value(conf->authorize, prev->authorize, NULL);
    ngx_conf_merge_ptr_value(conf->authorize_variables,
                              prev->authorize_variables, NULL);
    ngx_conf_merge_uint_value(conf->store_access, prev->store_access, 0600);
    ngx_conf_merge_size_value(conf->buffer_size, prev->buffer_size,
                              NGX_HTTP_UPLOAD_BUFFER_SIZE);
    ngx_conf_merge_size_value(conf->merge_buffer_size,
                              prev->merge_buffer_size, ngx_pagesize / 2);
    ngx_conf_merge_size_value(conf->range_header_buffer_size,
                              prev->range_header_buffer_size,
                              NGX_HTTP_UPLOAD_RANGES_MAX);
    ngx_conf_merge_size_value(conf->limit_rate, prev->limit_rate, 0);
    ngx_conf_merge_value(conf->append, prev->append, 0);
    ngx_conf_merge_value(conf->resumable, prev->resumable, 0);
    ngx_conf_merge_value(conf->fsync, prev->fsync, 1);
    ngx_conf_merge_value(conf->preallocate, prev->preallocate, 1);
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
    ngx_conf_merge_value(conf->max_parts, prev->max_parts,
                              NGX_HTTP_UPLOAD_MAX_PARTS);
    ngx_conf_merge_value(conf->max_fields, prev->max_fields,
                              NGX_HTTP_UPLOAD_MAX_FIELDS);
    ngx_conf_merge_ptr_value(conf->form_fields, prev->form_fields, NULL);
    ngx_conf_merge_ptr_value(conf->aggregate_fields, prev->aggregate_fields,
                              NULL);
    ngx_conf_merge_ptr_value(conf->pass_fields, prev->pass_fields, NULL);
    ngx_conf_merge_ptr_value(conf->headers, prev->headers, NULL);
    ngx_conf_merge_ptr_value(conf->cleanup, prev->cleanup, NULL);
    ngx_conf_merge_value(conf->pass_args, prev->pass_args, 0);
    ngx_conf_merge_value(conf->tame_arrays, prev->tame_arrays, 0);
    ngx_conf_merge_value(conf->empty_field_names, prev->empty_field_names, 0);

    conf->digests = ngx_http_upload_digests(conf->aggregate_fields)
                    | ngx_http_upload_digests(conf->headers);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->pass == NULL) {
        conf->pass = prev->pass;

        /* blocks that core enters without resetting the handler */

        if (conf->pass && clcf->lmt_excpt && clcf->handler == NULL) {
            clcf->handler = ngx_http_upload_handler;
        }
    }

    if (clcf->handler != ngx_http_upload_handler) {
        return NGX_CONF_OK;
    }

    if (conf->append && conf->authorize == NULL && clcf->name.len) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"upload_append\" in location \"%V\" needs "
                      "\"upload_authorize\", which says where to", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_upload_default_store(cf, &conf->store) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->resumable
        && ngx_http_upload_default_store(cf, &conf->state_store) != NGX_OK)
    {
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
