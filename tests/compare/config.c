#include "tests/compare/config.h"

static const struct {
  const char *name;
  uint64_t cluster, size;
  gboolean extended;
} shapes[] = {
    {"512", 512, 1 << 20, FALSE},       {"4k", 4 << 10, 4 << 20, FALSE},
    {"64k", 64 << 10, 24 << 20, FALSE}, {"64k-extended", 64 << 10, 8 << 20, TRUE},
    {"2m", 2 << 20, 48 << 20, FALSE},   {"2m-extended", 2 << 20, 32 << 20, TRUE},
};

static const char *const backings[BACKINGS] = {"", "-backing", "-long-backing"};

/* An image with a data file has no compressed clusters. */
static const struct {
  const char *name;
  gboolean data_file, zstd;
} stores[] = {{"", FALSE, FALSE}, {"-zstd", FALSE, TRUE}, {"-data", TRUE, FALSE}};

static void add(GArray *configs, size_t shape, Backing backing, gboolean lazy, size_t store)
{
  uint64_t size = shapes[shape].size;
  Config config = {
      .cluster = shapes[shape].cluster,
      .granule = shapes[shape].extended ? shapes[shape].cluster / 32 : shapes[shape].cluster,
      .size = size,
      .backing_size = backing == BACKING_NONE      ? 0
                      : backing == BACKING_SHORTER ? size / 2 + 512
                                                   : size + size / 2,
      .extended = shapes[shape].extended,
      .lazy = lazy,
      .data_file = stores[store].data_file,
      .zstd = stores[store].zstd,
  };
  g_snprintf(config.name, sizeof config.name, "%s%s%s%s", shapes[shape].name, backings[backing], lazy ? "-lazy" : "",
             stores[store].name);
  g_array_append_val(configs, config);
}

GArray *configs_new(void)
{
  GArray *configs = g_array_new(FALSE, FALSE, sizeof(Config));
  for (size_t shape = 0; shape < G_N_ELEMENTS(shapes); shape++)
    for (Backing backing = 0; backing < BACKINGS; backing++)
      for (gboolean lazy = FALSE; lazy <= TRUE; lazy++)
        for (size_t store = 0; store < G_N_ELEMENTS(stores); store++)
          add(configs, shape, backing, lazy, store);
  return configs;
}

char *config_options(const Config *config, const char *data_file)
{
  g_autofree char *data = config->data_file ? g_strdup_printf(",data_file=%s", data_file) : g_strdup("");
  return g_strdup_printf("cluster_size=%" G_GUINT64_FORMAT "%s%s%s%s", config->cluster,
                         config->extended ? ",extended_l2=on" : "", config->lazy ? ",lazy_refcounts=on" : "",
                         config->zstd ? ",compression_type=zstd" : "", data);
}
