#include "config.h"

#include "fs/ops.h"

#include <string.h>
#include <unistd.h>

#define PREFIX "user.blockgraph."

typedef struct Attribute {
  const char *name;
  char *(*value)(BgNode *node); /* NULL: this node has none */
} Attribute;

static char *get_node_name(BgNode *node)
{
  return g_strdup(bg_node_name(node));
}

static char *get_driver(BgNode *node)
{
  return g_strdup(bg_node_driver(node)->name);
}

static char *get_write_state(BgNode *node)
{
  BgNodeState state;
  bg_node_state(node, &state);
  char *value = g_strdup(bg_write_state_name(state.write_state));
  bg_node_state_clear(&state);
  return value;
}

static char *get_reason(BgNode *node)
{
  BgNodeState state;
  bg_node_state(node, &state);
  char *value = g_strdup(state.reason);
  bg_node_state_clear(&state);
  return value;
}

static char *get_open_mode(BgNode *node)
{
  BgNodeState state;
  bg_node_state(node, &state);
  char *value = g_strdup(state.read_write ? "read-write" : "read-only");
  bg_node_state_clear(&state);
  return value;
}

static char *get_pinned(BgNode *node)
{
  BgNodeState state;
  bg_node_state(node, &state);
  char *value = g_strdup(state.pinned ? "on" : "off");
  bg_node_state_clear(&state);
  return value;
}

static char *get_generation(BgNode *node)
{
  return g_strdup_printf("%" G_GUINT64_FORMAT, bg_node_generation(node));
}

static const Attribute node_attributes[] = {
    {PREFIX "driver", get_driver},       {PREFIX "filename", bg_node_filename},   {PREFIX "generation", get_generation},
    {PREFIX "node-name", get_node_name}, {PREFIX "open-mode", get_open_mode},     {PREFIX "pinned", get_pinned},
    {PREFIX "reason", get_reason},       {PREFIX "write-state", get_write_state},
};

static char *get_pid(BgNode *node)
{
  (void)node;
  return g_strdup_printf("%d", (int)getpid());
}

static char *get_version(BgNode *node)
{
  (void)node;
  return g_strdup(PACKAGE_VERSION);
}

static const Attribute root_attributes[] = {
    {PREFIX "pid", get_pid},
    {PREFIX "version", get_version},
};

/* The attributes of an inode and the node to ask them of (NULL for the root). */
static size_t attributes_of(BgfsFs *fs, fuse_ino_t ino, const Attribute **attributes, BgNode **node)
{
  *node = NULL;
  if (ino == BGFS_INO_ROOT) {
    *attributes = root_attributes;
    return G_N_ELEMENTS(root_attributes);
  }
  BgfsInode *inode = bgfs_inodes_get(fs->inodes, ino);
  if (!inode)
    return 0;
  *node = inode->node;
  *attributes = node_attributes;
  return G_N_ELEMENTS(node_attributes);
}

static void reply(fuse_req_t req, const char *data, size_t length, size_t size)
{
  if (size == 0)
    fuse_reply_xattr(req, length);
  else if (length > size)
    fuse_reply_err(req, ERANGE);
  else
    fuse_reply_buf(req, data, length);
}

static char *find_value(BgfsFs *fs, fuse_ino_t ino, const char *name)
{
  const Attribute *attributes;
  BgNode *node;
  size_t count = attributes_of(fs, ino, &attributes, &node);
  for (size_t i = 0; i < count; i++) {
    if (strcmp(attributes[i].name, name) == 0)
      return attributes[i].value(node);
  }
  return NULL;
}

/* The kernel asks for security.capability before every write: that question must stay cheap. */
void bgfs_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  g_autofree char *value = g_str_has_prefix(name, PREFIX) ? find_value(bgfs_fs(req), ino, name) : NULL;
  if (value)
    reply(req, value, strlen(value), size);
  else
    fuse_reply_err(req, ENODATA);
}

void bgfs_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
  const Attribute *attributes;
  BgNode *node;
  size_t count = attributes_of(bgfs_fs(req), ino, &attributes, &node);
  g_autoptr(GByteArray) names = g_byte_array_new();
  for (size_t i = 0; i < count; i++) {
    g_autofree char *value = attributes[i].value(node);
    if (value)
      g_byte_array_append(names, (const guint8 *)attributes[i].name, strlen(attributes[i].name) + 1);
  }
  reply(req, (const char *)names->data, names->len, size);
}

static int refusal(const char *name)
{
  return g_str_has_prefix(name, PREFIX) ? EPERM : EOPNOTSUPP;
}

void bgfs_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
  (void)ino;
  (void)value;
  (void)size;
  (void)flags;
  fuse_reply_err(req, refusal(name));
}

void bgfs_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
  (void)ino;
  fuse_reply_err(req, refusal(name));
}
