#include "fs/qmp/event-types.h"

#include <stddef.h>

static const BgfsQmpMember added_members[] = {
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {"driver", &bgfs_qmp_string, false, "its driver"},
    {"write-state", &bgfs_qmp_string, false, "writable, available, read-only, unwritable or blocked"},
    {"reason", &bgfs_qmp_string, false, "why, in words"},
    {"read-write", &bgfs_qmp_bool, false, "how it is open at this moment"},
    {NULL},
};
static const BgfsQmpType added = {.kind = BGFS_QMP_OBJECT, .name = "BlockgraphNodeAdded", .members = added_members};

static const BgfsQmpMember removed_members[] = {
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {NULL},
};
static const BgfsQmpType removed = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockgraphNodeRemoved", .members = removed_members};

static const BgfsQmpMember state_members[] = {
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {"write-state", &bgfs_qmp_string, false, "writable, available, read-only, unwritable or blocked"},
    {"reason", &bgfs_qmp_string, false, "why, in words"},
    {"read-write", &bgfs_qmp_bool, false, "how it is open at this moment"},
    {NULL},
};
static const BgfsQmpType state = {.kind = BGFS_QMP_OBJECT, .name = "BlockgraphWriteState", .members = state_members};

static const BgfsQmpMember status_members[] = {
    {"id", &bgfs_qmp_string, false, "the job"},
    {"status", &bgfs_qmp_string, false, "as query-jobs has it"},
    {NULL},
};
static const BgfsQmpType status = {.kind = BGFS_QMP_OBJECT, .name = "JobStatusChange", .members = status_members};

static const BgfsQmpMember job_members[] = {
    {"type", &bgfs_qmp_string, false, "commit, stream, mirror or backup"},
    {"device", &bgfs_qmp_string, false, "the job"},
    {"len", &bgfs_qmp_int, false, "bytes to do"},
    {"offset", &bgfs_qmp_int, false, "bytes that are done"},
    {"speed", &bgfs_qmp_int, false, "bytes a second at most, 0: no limit"},
    {"error", &bgfs_qmp_string, true, "BLOCK_JOB_COMPLETED: why it failed"},
    {NULL},
};
static const BgfsQmpType job = {.kind = BGFS_QMP_OBJECT, .name = "BlockJobEvent", .members = job_members};

static const BgfsQmpMember pending_members[] = {
    {"type", &bgfs_qmp_string, false, "commit, stream, mirror or backup"},
    {"id", &bgfs_qmp_string, false, "the job"},
    {NULL},
};
static const BgfsQmpType pending = {.kind = BGFS_QMP_OBJECT, .name = "BlockJobPending", .members = pending_members};

static const BgfsQmpMember error_members[] = {
    {"device", &bgfs_qmp_string, false, "the job"},
    {"operation", &bgfs_qmp_string, false, "read or write"},
    {"action", &bgfs_qmp_string, false, "report, ignore or stop"},
    {NULL},
};
static const BgfsQmpType error = {.kind = BGFS_QMP_OBJECT, .name = "BlockJobError", .members = error_members};

static const BgfsQmpMember io_error_members[] = {
    {"device", &bgfs_qmp_string, false, "the node"},
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {"operation", &bgfs_qmp_string, false, "read or write: also zeros, holes and flushes"},
    {"action", &bgfs_qmp_string, false, "report: whoever asked got the error"},
    {"nospace", &bgfs_qmp_bool, false, "whether space is missing"},
    {"reason", &bgfs_qmp_string, false, "the error, in words"},
    {NULL},
};
static const BgfsQmpType io_error = {.kind = BGFS_QMP_OBJECT, .name = "BlockIoError", .members = io_error_members};

static const BgfsQmpMember corrupted_members[] = {
    {"device", &bgfs_qmp_string, false, "the node"},
    {"node-name", &bgfs_qmp_string, false, "the node"},
    {"msg", &bgfs_qmp_string, false, "what was found, and where"},
    {"fatal", &bgfs_qmp_bool, false, "whether it had a writer, whose writes fail from now on"},
    {NULL},
};
static const BgfsQmpType corrupted = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockImageCorrupted", .members = corrupted_members};

static const BgfsQmpMember shutdown_members[] = {
    {"guest", &bgfs_qmp_bool, false, "false"},
    {"reason", &bgfs_qmp_string, false, "host-qmp-quit, host-signal, or host-ui: it was unmounted"},
    {NULL},
};
static const BgfsQmpType shutdown = {.kind = BGFS_QMP_OBJECT, .name = "Shutdown", .members = shutdown_members};

const BgfsQmpEventType bgfs_qmp_event_types[] = {
    {"BLOCKGRAPH_NODE_ADDED", &added, "There is a new node, and a file of its name in the mount."},
    {"BLOCKGRAPH_NODE_REMOVED", &removed, "A node is gone, and so is its file."},
    {"BLOCKGRAPH_WRITE_STATE_CHANGED", &state,
     "Whether a node's file can be written has changed, or why, or how the node is open. What changes several times in "
     "a moment is told once."},
    {"JOB_STATUS_CHANGE", &status, "A job has come to another status."},
    {"BLOCK_JOB_READY", &job, "A job can be completed."},
    {"BLOCK_JOB_PENDING", &pending, "A job waits for job-finalize."},
    {"BLOCK_JOB_COMPLETED", &job, "A job has ended by itself, well or with an error."},
    {"BLOCK_JOB_CANCELLED", &job, "A job was cancelled, and has ended."},
    {"BLOCK_JOB_ERROR", &error, "A job's request failed."},
    {"BLOCK_IO_ERROR", &io_error,
     "A program's request to a node's file failed, and it was told so. Each node tells one a second at most: of those "
     "that follow within it, the last, when it is over."},
    {"BLOCK_IMAGE_CORRUPTED", &corrupted,
     "An image was found to contradict itself. It can be read, and takes no writer any more until it is repaired."},
    {"SHUTDOWN", &shutdown, "The mount begins to end. Files that are open may be served for a while."},
    {NULL},
};
