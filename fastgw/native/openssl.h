/* openssl: the functions of OpenSSL 3 that the gateway calls, found at run time in the shared library that Python's own `ssl`
   uses. Owns: their prototypes and where they were found. So no build needs OpenSSL's headers, no wheel carries a copy of it, and
   security updates of the system's library reach the gateway. The prototypes may stand here because OpenSSL keeps its ABI
   within a major version (https://openssl-library.org/policies/general/versioning-policy/); functions that are macros over
   SSL_ctrl and the like carry their numbers along (openssl.pxd). Must not know: connections, certificates. */

#ifndef FGW_OPENSSL_H
#define FGW_OPENSSL_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509;
typedef struct x509_store_st X509_STORE;
typedef struct x509_store_ctx_st X509_STORE_CTX;
typedef struct evp_pkey_st EVP_PKEY;

#define FGW_OPENSSL_LEAST 0x30000000UL /* OpenSSL_version_num: MNN00PP0 */

#define FGW_OPENSSL(X)                                                                                                          \
    X(unsigned long, OpenSSL_version_num, (void))                                                                               \
    X(const char *, OpenSSL_version, (int))                                                                                     \
    X(void, ERR_clear_error, (void))                                                                                            \
    X(unsigned long, ERR_peek_last_error, (void))                                                                               \
    X(const char *, ERR_reason_error_string, (unsigned long))                                                                   \
    X(int, BIO_get_new_index, (void))                                                                                           \
    X(BIO_METHOD *, BIO_meth_new, (int, const char *))                                                                          \
    X(int, BIO_meth_set_read, (BIO_METHOD *, int (*)(BIO *, char *, int)))                                                      \
    X(int, BIO_meth_set_write, (BIO_METHOD *, int (*)(BIO *, const char *, int)))                                               \
    X(int, BIO_meth_set_ctrl, (BIO_METHOD *, long (*)(BIO *, int, long, void *)))                                               \
    X(BIO *, BIO_new, (const BIO_METHOD *))                                                                                     \
    X(BIO *, BIO_new_mem_buf, (const void *, int))                                                                              \
    X(int, BIO_free, (BIO *))                                                                                                   \
    X(void, BIO_set_data, (BIO *, void *))                                                                                      \
    X(void *, BIO_get_data, (BIO *))                                                                                            \
    X(void, BIO_set_init, (BIO *, int))                                                                                         \
    X(void, BIO_set_flags, (BIO *, int))                                                                                        \
    X(void, BIO_clear_flags, (BIO *, int))                                                                                      \
    X(X509 *, PEM_read_bio_X509, (BIO *, X509 **, int (*)(char *, int, int, void *), void *))                                   \
    X(EVP_PKEY *, PEM_read_bio_PrivateKey, (BIO *, EVP_PKEY **, int (*)(char *, int, int, void *), void *))                     \
    X(void, X509_free, (X509 *))                                                                                                \
    X(void, EVP_PKEY_free, (EVP_PKEY *))                                                                                        \
    X(X509_STORE *, X509_STORE_new, (void))                                                                                     \
    X(void, X509_STORE_free, (X509_STORE *))                                                                                    \
    X(int, X509_STORE_up_ref, (X509_STORE *))                                                                                   \
    X(int, X509_STORE_add_cert, (X509_STORE *, X509 *))                                                                         \
    X(int, X509_STORE_set_default_paths, (X509_STORE *))                                                                        \
    X(int, X509_STORE_load_file, (X509_STORE *, const char *))                                                                  \
    X(int, X509_check_host, (X509 *, const char *, size_t, unsigned int, char **))                                              \
    X(int, X509_check_ip_asc, (X509 *, const char *, unsigned int))                                                             \
    X(const SSL_METHOD *, TLS_server_method, (void))                                                                            \
    X(const SSL_METHOD *, TLS_client_method, (void))                                                                            \
    X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                                                             \
    X(void, SSL_CTX_free, (SSL_CTX *))                                                                                          \
    X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                                                       \
    X(long, SSL_CTX_callback_ctrl, (SSL_CTX *, int, void (*)(void)))                                                            \
    X(uint64_t, SSL_CTX_set_options, (SSL_CTX *, uint64_t))                                                                     \
    X(int, SSL_CTX_set_cipher_list, (SSL_CTX *, const char *))                                                                  \
    X(int, SSL_CTX_set_num_tickets, (SSL_CTX *, size_t))                                                                        \
    X(int, SSL_CTX_set_session_id_context, (SSL_CTX *, const unsigned char *, unsigned int))                                    \
    X(int, SSL_CTX_use_certificate, (SSL_CTX *, X509 *))                                                                        \
    X(int, SSL_CTX_use_PrivateKey, (SSL_CTX *, EVP_PKEY *))                                                                     \
    X(void, SSL_CTX_set_cert_store, (SSL_CTX *, X509_STORE *))                                                                  \
    X(int, SSL_CTX_add_client_CA, (SSL_CTX *, X509 *))                                                                          \
    X(void, SSL_CTX_set_verify, (SSL_CTX *, int, int (*)(int, X509_STORE_CTX *)))                                               \
    X(void, SSL_CTX_set_client_hello_cb, (SSL_CTX *, int (*)(SSL *, int *, void *), void *))                                    \
    X(void, SSL_CTX_set_alpn_select_cb,                                                                                         \
      (SSL_CTX *, int (*)(SSL *, const unsigned char **, unsigned char *, const unsigned char *, unsigned int, void *), void *))\
    X(int, SSL_CTX_set_alpn_protos, (SSL_CTX *, const unsigned char *, unsigned int))                                           \
    X(void, SSL_CTX_sess_set_new_cb, (SSL_CTX *, int (*)(SSL *, SSL_SESSION *)))                                                \
    X(int, SSL_client_hello_get0_ext, (SSL *, unsigned int, const unsigned char **, size_t *))                                  \
    X(int, SSL_select_next_proto,                                                                                               \
      (unsigned char **, unsigned char *, const unsigned char *, unsigned int, const unsigned char *, unsigned int))            \
    X(SSL *, SSL_new, (SSL_CTX *))                                                                                              \
    X(void, SSL_free, (SSL *))                                                                                                  \
    X(void, SSL_set_bio, (SSL *, BIO *, BIO *))                                                                                 \
    X(BIO *, SSL_get_rbio, (const SSL *))                                                                                       \
    X(void, SSL_set_accept_state, (SSL *))                                                                                      \
    X(void, SSL_set_connect_state, (SSL *))                                                                                     \
    X(long, SSL_ctrl, (SSL *, int, long, void *))                                                                               \
    X(SSL_CTX *, SSL_set_SSL_CTX, (SSL *, SSL_CTX *))                                                                           \
    X(void, SSL_set_verify, (SSL *, int, int (*)(int, X509_STORE_CTX *)))                                                       \
    X(void, SSL_set_verify_depth, (SSL *, int))                                                                                 \
    X(long, SSL_get_verify_result, (const SSL *))                                                                               \
    X(X509 *, SSL_get0_peer_certificate, (const SSL *))                                                                         \
    X(int, SSL_set_session, (SSL *, SSL_SESSION *))                                                                             \
    X(void, SSL_SESSION_free, (SSL_SESSION *))                                                                                  \
    X(int, SSL_do_handshake, (SSL *))                                                                                           \
    X(int, SSL_read, (SSL *, void *, int))                                                                                      \
    X(int, SSL_write, (SSL *, const void *, int))                                                                               \
    X(int, SSL_get_error, (const SSL *, int))                                                                                   \
    X(int, SSL_shutdown, (SSL *))

#define FGW_DECLARE(result, name, arguments) static result(*name) arguments;
FGW_OPENSSL(FGW_DECLARE)
#undef FGW_DECLARE

/* NULL where all functions are there, else why they cannot be called. May be called again. */
static const char *fgw_openssl_load(void)
{
    static void *library;
    if (library != NULL)
        return NULL;
    /* Python's own copy, where it has one; its name for libcrypto is resolved along with it. */
    void *found = dlopen("libssl.so.3", RTLD_NOW | RTLD_NOLOAD);
    if (found == NULL)
        found = dlopen("libssl.so.3", RTLD_NOW);
    if (found == NULL)
        return "libssl.so.3 (OpenSSL 3) is not to be found";
#define FGW_FIND(result, name, arguments)                                                                                       \
    *(void **)(&name) = dlsym(found, #name);                                                                                    \
    if (name == NULL)                                                                                                           \
        return "libssl.so.3 has no function " #name;
    FGW_OPENSSL(FGW_FIND)
#undef FGW_FIND
    if (OpenSSL_version_num() < FGW_OPENSSL_LEAST)
        return "libssl.so.3 is older than OpenSSL 3.0";
    library = found;
    return NULL;
}

#endif
