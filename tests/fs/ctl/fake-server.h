/* A server on a control socket that says what a test tells it to. */
#ifndef TESTS_FAKE_SERVER_H
#define TESTS_FAKE_SERVER_H

#include <glib.h>

typedef struct FakeStep {
  const char *expect; /* what the next request holds, each part up to a '|'; NULL: none is waited for */
  const char *send;   /* with the request's id for each '@'; NULL: nothing */
} FakeStep;

typedef struct FakeServer FakeServer;

/* Serves one client by the steps, up to one whose fields are NULL; then waits for it to hang up. */
FakeServer *fake_server_new(const FakeStep *steps);
/* The same after greeting and negotiation. */
FakeServer *fake_server_negotiated(const FakeStep *steps);
/* The same, but hangs up after the last step. */
FakeServer *fake_server_brief(const FakeStep *steps);
const char *fake_server_path(const FakeServer *server);
/* Fails the test if a request was another one than expected, or did not come. The client has hung up. */
void fake_server_end(FakeServer *server);

#define FAKE_GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"
#define FAKE_DONE     "{\"return\":{},\"id\":@}\r\n"

#endif
