#include "drivers/error.h"
#include "drivers/options.h"
#include "fs/ctl/command.h"
#include "fs/ctl/units.h"
#include "fs/ctl/values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl jobs",
    .operands = "MOUNTPOINT [VERB ID]",
    .most = 3,
    .summary = "Lists the jobs, or asks one for something.",
    .description = "Verbs:\n"
                   "  pause ID       stop for a while\n"
                   "  resume ID      go on, also after an error that stopped it\n"
                   "  cancel ID      give up\n"
                   "  complete ID    of a job that is ready: end, and let the target take the source's place\n"
                   "  finish ID      of a job that is ready: end, and leave the target as the copy of this moment\n"
                   "  finalize ID    of a job that is pending: let what was done take effect\n"
                   "  dismiss ID     of a job that has concluded: go\n"
                   "  speed ID SIZE  at most so many bytes a second, with K, M, G or T behind; 0: as fast as it goes\n",
};

/* ── verbs ── */

static const struct Verb {
  const char *name, *command, *member;
} verbs[] = {
    {"cancel", "job-cancel", "id"},     {"complete", "job-complete", "id"},         {"dismiss", "job-dismiss", "id"},
    {"finalize", "job-finalize", "id"}, {"finish", "block-job-cancel", "device"},   {"pause", "job-pause", "id"},
    {"resume", "job-resume", "id"},     {"speed", "block-job-set-speed", "device"},
};

static const struct Verb *find_verb(const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
    if (strcmp(verbs[i].name, name) == 0)
      return &verbs[i];
  return NULL;
}

static bool check(const BgfsCtl *ctl, const struct Verb **verb, uint64_t *speed, GError **error)
{
  const char *word = bgfs_ctl_operand(ctl, 0), *size = bgfs_ctl_operand(ctl, 2);
  *verb = word ? find_verb(word) : NULL;
  bool takes_size = *verb && strcmp(word, "speed") == 0;
  if (word && !*verb)
    bg_set_error(error, EINVAL, "there is no verb '%s'", word);
  else if (word && !bgfs_ctl_operand(ctl, 1))
    bg_set_error(error, EINVAL, "ID is missing");
  else if (takes_size && !size)
    bg_set_error(error, EINVAL, "SIZE is missing");
  else if (size && !takes_size)
    bg_set_error(error, EINVAL, "one argument too many");
  else
    return !size || bg_parse_size(size, speed, error);
  return false;
}

static bool carry_out(const BgfsCtl *ctl, const struct Verb *verb, uint64_t speed, GError **error)
{
  JsonObject *arguments = bgfs_ctl_arguments(verb->member, bgfs_ctl_operand(ctl, 1), NULL);
  if (strcmp(verb->name, "speed") == 0)
    json_object_set_int_member(arguments, "speed", (gint64)speed);
  return bgfs_ctl_client_do(ctl->client, verb->command, arguments, error);
}

/* ── the list ── */

/* What query-block-jobs knows of a job that query-jobs does not. */
static void add_block_facts(JsonArray *jobs, JsonArray *block_jobs)
{
  static const char *const names[] = {"speed", "paused", "busy", "ready", "io-status", "auto-finalize", "auto-dismiss"};
  for (unsigned i = 0; i < bgfs_ctl_length(jobs); i++) {
    JsonObject *job = bgfs_ctl_element(jobs, i);
    for (unsigned j = 0; j < bgfs_ctl_length(block_jobs); j++) {
      JsonObject *facts = bgfs_ctl_element(block_jobs, j);
      if (!job || !facts || g_strcmp0(bgfs_ctl_text(job, "id"), bgfs_ctl_text(facts, "device")) != 0)
        continue;
      for (size_t k = 0; k < G_N_ELEMENTS(names); k++)
        if (json_object_has_member(facts, names[k]))
          json_object_set_member(job, names[k], json_node_copy(json_object_get_member(facts, names[k])));
    }
  }
}

static char *done_text(JsonObject *job)
{
  int64_t current = bgfs_ctl_number(job, "current-progress", 0), total = bgfs_ctl_number(job, "total-progress", 0);
  if (total <= 0)
    return g_strdup("-");
  g_autofree char *size = bgfs_ctl_size_text((uint64_t)total);
  return g_strdup_printf("%d%% of %s", (int)((double)CLAMP(current, 0, total) / (double)total * 100), size);
}

static char *speed_text(JsonObject *job)
{
  int64_t speed = bgfs_ctl_number(job, "speed", 0);
  if (speed <= 0)
    return g_strdup("-");
  g_autofree char *size = bgfs_ctl_size_text((uint64_t)speed);
  return g_strdup_printf("%s/s", size);
}

static void print_job(JsonObject *job)
{
  g_autofree char *id = bgfs_ctl_shown(bgfs_ctl_text(job, "id")), *type = bgfs_ctl_shown(bgfs_ctl_text(job, "type"));
  g_autofree char *status = bgfs_ctl_shown(bgfs_ctl_text(job, "status")), *done = done_text(job);
  g_autofree char *speed = speed_text(job), *failure = bgfs_ctl_shown(bgfs_ctl_text(job, "error"));
  printf("%-16s %-8s %-10s %-18s %-12s %s\n", id, type, status, done, speed, failure);
}

static int list(BgfsCtl *ctl)
{
  GError *error = NULL;
  g_autoptr(JsonNode) jobs = bgfs_ctl_client_call(ctl->client, "query-jobs", NULL, &error);
  g_autoptr(JsonNode) block_jobs = jobs ? bgfs_ctl_client_call(ctl->client, "query-block-jobs", NULL, &error) : NULL;
  if (!block_jobs)
    return bgfs_ctl_fail(ctl, bgfs_ctl_place(ctl), error);
  JsonArray *all = JSON_NODE_HOLDS_ARRAY(jobs) ? json_node_get_array(jobs) : NULL;
  add_block_facts(all, JSON_NODE_HOLDS_ARRAY(block_jobs) ? json_node_get_array(block_jobs) : NULL);
  if (ctl->json) {
    bgfs_ctl_print_json(jobs);
    return EXIT_SUCCESS;
  }
  if (bgfs_ctl_length(all))
    printf("%-16s %-8s %-10s %-18s %-12s %s\n", "ID", "TYPE", "STATUS", "DONE", "SPEED LIMIT", "ERROR");
  for (unsigned i = 0; i < bgfs_ctl_length(all); i++)
    print_job(bgfs_ctl_element(all, i));
  return EXIT_SUCCESS;
}

int bgfs_ctl_jobs(int argc, char **argv)
{
  g_auto(BgfsCtl) ctl = {0};
  GError *error = NULL;
  const struct Verb *verb;
  uint64_t speed = 0;
  int status;
  if (!bgfs_ctl_parse(&ctl, &command, NULL, argc, argv, &status))
    return status;
  if (!check(&ctl, &verb, &speed, &error)) {
    g_autoptr(GError) wrong = error;
    return bgfs_ctl_usage(&ctl, wrong->message);
  }
  if (!bgfs_ctl_connect(&ctl, &error))
    return bgfs_ctl_fail(&ctl, NULL, error);
  if (!verb)
    return list(&ctl);
  return carry_out(&ctl, verb, speed, &error) ? EXIT_SUCCESS : bgfs_ctl_fail(&ctl, bgfs_ctl_operand(&ctl, 1), error);
}
