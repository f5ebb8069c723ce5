// xmlrpc-c's Abyss, as a peer of the bench `speed`. It has no TLS; system.multicall is its own.
//   cc abyss.c -lxmlrpc_server_abyss -lxmlrpc_server -lxmlrpc_abyss -lxmlrpc -lxmlrpc_util
//   ./a.out
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <xmlrpc-c/base.h>
#include <xmlrpc-c/server.h>
#include <xmlrpc-c/server_abyss.h>

enum {
    STRUCTS = 10000,
    // Its own are 15 connections at a time, and 30 requests on each.
    CONNECTIONS_MAX = 512,
    REQUESTS_MAX = 1000000000,
    // Its own is 512 KiB.
    DOCUMENT_BYTES_MAX = 64 << 20,
};

static xmlrpc_value *add(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)info, (void)call;
    int a = 0, b = 0;
    xmlrpc_decompose_value(env, params, "(ii)", &a, &b);
    return env->fault_occurred ? NULL : xmlrpc_int_new(env, a + b);
}

static xmlrpc_value *sum(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)info, (void)call;
    xmlrpc_value *numbers = NULL;
    xmlrpc_decompose_value(env, params, "(A)", &numbers);
    if (env->fault_occurred)
        return NULL;
    int total = 0;
    const int count = xmlrpc_array_size(env, numbers);
    for (int n = 0; n < count && !env->fault_occurred; n++) {
        xmlrpc_value *item = NULL;
        int number = 0;
        xmlrpc_array_read_item(env, numbers, (unsigned)n, &item);
        if (!env->fault_occurred) {
            xmlrpc_read_int(env, item, &number);
            xmlrpc_DECREF(item);
        }
        total += number;
    }
    xmlrpc_DECREF(numbers);
    return env->fault_occurred ? NULL : xmlrpc_int_new(env, total);
}

static xmlrpc_value *structs(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)params, (void)info, (void)call;
    xmlrpc_value *const all = xmlrpc_array_new(env);
    for (int n = 0; n < STRUCTS && !env->fault_occurred; n++) {
        char name[32];
        snprintf(name, sizeof name, "name %d", n);
        xmlrpc_value *const one = xmlrpc_build_value(env, "{s:i,s:s,s:d}", "id", n, "name", name,
                                                     "value", n + 0.5);
        if (!env->fault_occurred) {
            xmlrpc_array_append_item(env, all, one);
            xmlrpc_DECREF(one);
        }
    }
    return all;
}

static xmlrpc_value *echo(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)info, (void)call;
    xmlrpc_value *value = NULL;
    xmlrpc_decompose_value(env, params, "(V)", &value);
    return value;
}

static xmlrpc_value *block10ms(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)params, (void)info, (void)call;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return xmlrpc_bool_new(env, 1);
}

// A socket on a free port of loopback, on which Abyss listens.
static int bound(struct sockaddr_in *address) {
    socklen_t len = sizeof *address;
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, len) != 0 ||
        listen(fd, CONNECTIONS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &len) != 0) {
        perror("no socket");
        exit(1);
    }
    return fd;
}

int main(void) {
    xmlrpc_env env;
    xmlrpc_env_init(&env);
    xmlrpc_limit_set(XMLRPC_XML_SIZE_LIMIT_ID, DOCUMENT_BYTES_MAX);
    xmlrpc_registry *const registry = xmlrpc_registry_new(&env);
    const struct xmlrpc_method_info3 methods[] = {
        {.methodName = "add", .methodFunction = add},
        {.methodName = "sum", .methodFunction = sum},
        {.methodName = "structs", .methodFunction = structs},
        {.methodName = "echo", .methodFunction = echo},
        {.methodName = "block10ms", .methodFunction = block10ms},
    };
    for (size_t n = 0; n < sizeof methods / sizeof *methods; n++)
        xmlrpc_registry_add_method3(&env, registry, &methods[n]);

    struct sockaddr_in address;
    const int fd = bound(&address);
    printf("listening http://127.0.0.1:%d/RPC2\n", ntohs(address.sin_port));
    fflush(stdout);
    const xmlrpc_server_abyss_parms parms = {
        .registryP = registry,
        .socket_bound = 1,
        .socket_handle = fd,
        .uri_path = "/RPC2",
        .keepalive_max_conn = REQUESTS_MAX,
        .max_conn = CONNECTIONS_MAX,
        .max_conn_backlog = CONNECTIONS_MAX,
    };
    if (!env.fault_occurred)
        xmlrpc_server_abyss(&env, &parms, XMLRPC_APSIZE(max_conn_backlog));
    fprintf(stderr, "Abyss ended: %s\n", env.fault_occurred ? env.fault_string : "by itself");
    return 1;
}
