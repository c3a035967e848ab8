#include "graph/order.h"

#include "graph/edge.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const BgDriver driver = {.name = "none", .kind = BG_KIND_FILTER};

static BgNode *make(const char *name)
{
  return bg_node_new(NULL, g_strdup(name), &driver);
}

static BgEdge *connect_to(BgNode *parent, BgNode *child)
{
  BgEdge *edge = bg_edge_new(parent, "file", BG_ROLE_DATA);
  edge->hold.node = child;
  g_ptr_array_add(parent->children, edge);
  if (child)
    g_ptr_array_add(child->holders, &edge->hold);
  return edge;
}

/* A chain of `length` nodes, the top one first. */
static GPtrArray *make_chain(unsigned length)
{
  GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)bg_node_free);
  for (unsigned i = 0; i < length; i++) {
    g_ptr_array_add(nodes, make("link"));
    if (i > 0)
      connect_to(nodes->pdata[i - 1], nodes->pdata[i]);
  }
  return nodes;
}

static char *order_from(BgNode *start)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  bg_proposal_start(&proposal, start);
  g_autoptr(GPtrArray) order = bg_order_below(&proposal, NULL);
  GString *names = g_string_new(NULL);
  for (guint i = 0; i < order->len; i++)
    g_string_append_printf(names, "%s ", bg_node_name(order->pdata[i]));
  return g_string_free(names, FALSE);
}

/* The error of putting `to` below `edge`; NULL: it would do. */
static GError *retarget(BgEdge *edge, BgNode *to)
{
  GError *error = NULL;
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  bg_proposal_retarget(&proposal, edge, to);
  g_autoptr(GPtrArray) order = bg_order_below(&proposal, &error);
  cr_assert_eq(order == NULL, error != NULL);
  return error;
}

/*     a
 *    / \
 *   b   c      e stands apart
 *    \ /
 *     d        */
Test(order, children_come_before_parents)
{
  BgNode *a = make("a"), *b = make("b"), *c = make("c"), *d = make("d"), *e = make("e");
  connect_to(a, b);
  connect_to(a, c);
  connect_to(b, d);
  connect_to(c, d);
  g_autofree char *from_a = order_from(a), *from_c = order_from(c), *from_e = order_from(e);
  cr_assert_str_eq(from_a, "d b c a ");
  cr_assert_str_eq(from_c, "d c ");
  cr_assert_str_eq(from_e, "e ");
  BgNode *all[] = {a, b, c, d, e};
  for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
    bg_node_free(all[i]);
}

/* a ── b ── c ── (open end) */
Test(order, cycles)
{
  BgNode *a = make("a"), *b = make("b"), *c = make("c"), *d = make("d");
  BgEdge *top = connect_to(a, b), *end = connect_to(c, NULL);
  connect_to(b, c);
  BgNode *all[] = {a, b, c, d};
  for (size_t i = 0; i < 3; i++) {
    g_autoptr(GError) error = retarget(end, all[i]);
    cr_assert(g_error_matches(error, BG_ERROR, ELOOP));
    cr_assert(strstr(error->message, "its own child"), "%s", error->message);
  }
  g_autoptr(GError) apart = retarget(end, d), shorter = retarget(top, c);
  cr_assert_null(apart);
  cr_assert_null(shorter);
  for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
    bg_node_free(all[i]);
}

/* upper chain ── (open end)   lower chain: together just as many as may be, then one more */
Test(order, depth_counts_what_is_above_too)
{
  g_autoptr(GPtrArray) upper = make_chain(BG_LEVELS_MAX / 2), lower = make_chain(BG_LEVELS_MAX / 2 + 1);
  BgEdge *end = connect_to(upper->pdata[upper->len - 1], NULL);
  g_autoptr(GError) fits = retarget(end, lower->pdata[1]), too_deep = retarget(end, lower->pdata[0]);
  cr_assert_null(fits, "%s", fits ? fits->message : "");
  cr_assert(g_error_matches(too_deep, BG_ERROR, ELOOP));
  cr_assert(strstr(too_deep->message, "below each other"), "%s", too_deep->message);
  g_autoptr(GError) at_the_top = retarget(connect_to(lower->pdata[0], NULL), upper->pdata[0]);
  cr_assert_null(at_the_top, "beside a chain, not below it");
}
