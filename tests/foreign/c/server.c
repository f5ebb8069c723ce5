// xmlrpc-c's Abyss, for Hotcall's client: echoes and a fault; introspection and batches are its
// own.
//   cc server.c -lxmlrpc_server_abyss -lxmlrpc_server -lxmlrpc_abyss -lxmlrpc -lxmlrpc_util
//   ./a.out [apache]
//
// With `apache` it answers <ex:i8> and <ex:nil/>.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <xmlrpc-c/base.h>
#include <xmlrpc-c/server.h>
#include <xmlrpc-c/server_abyss.h>

static xmlrpc_value *echo(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)info, (void)call;
    xmlrpc_value *value = NULL;
    xmlrpc_decompose_value(env, params, "(V)", &value);
    return value;
}

static xmlrpc_value *fail(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call) {
    (void)info, (void)call;
    int code = 0;
    const char *text = NULL;
    xmlrpc_decompose_value(env, params, "(is)", &code, &text);
    if (!env->fault_occurred)
        xmlrpc_env_set_fault(env, code, text);
    free((void *)text);
    return NULL;
}

// A socket that listens on a free port of loopback before anybody is told of it.
static int listening(struct sockaddr_in *address) {
    socklen_t len = sizeof *address;
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, len) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &len) != 0) {
        perror("no socket");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    xmlrpc_env env;
    xmlrpc_env_init(&env);
    xmlrpc_registry *const registry = xmlrpc_registry_new(&env);
    const struct xmlrpc_method_info3 methods[] = {
        {.methodName = "echo", .methodFunction = echo, .help = "Answers with its one parameter."},
        {.methodName = "fail", .methodFunction = fail, .signatureString = "n:is",
         .help = "Fails with this."},
    };
    for (size_t n = 0; n < sizeof methods / sizeof *methods; n++)
        xmlrpc_registry_add_method3(&env, registry, &methods[n]);
    if (argc > 1 && strcmp(argv[1], "apache") == 0)
        xmlrpc_registry_set_dialect(&env, registry, xmlrpc_dialect_apache);

    struct sockaddr_in address;
    const int fd = listening(&address);
    printf("listening http://127.0.0.1:%d/RPC2\n", ntohs(address.sin_port));
    fflush(stdout);
    const xmlrpc_server_abyss_parms parms = {
        .registryP = registry, .socket_bound = 1, .socket_handle = fd, .uri_path = "/RPC2"};
    if (!env.fault_occurred)
        xmlrpc_server_abyss(&env, &parms, XMLRPC_APSIZE(uri_path));
    fprintf(stderr, "Abyss ended: %s\n", env.fault_occurred ? env.fault_string : "by itself");
    return 1;
}
