/* The few functions of cuBLAS that recording a step calls, which note what they were given and compute nothing. */
#include <stddef.h>
#include <string.h>

typedef void *P;
typedef long long L;

static char calls[1 << 16];
const char *stub_calls(void) { return calls; }
void stub_clear(void) { calls[0] = 0; }
static int note(const char *name) { strcat(calls, name); strcat(calls, "\n"); return 0; }
static double last[32];
const double *stub_last(void) { return last; }

int cublasCreate_v2(P *handle) { *handle = (P)0xC0B1A5; return note("create"); }
int cublasDestroy_v2(P handle) { return note("destroy"); }
int cublasSetStream_v2(P handle, P stream) { return note("stream"); }
int cublasSetWorkspace_v2(P handle, P workspace, size_t bytes) { return note("workspace"); }
int cublasGemmEx(P h, int ta, int tb, int m, int n, int k, P alpha, P a, int at, int lda, P b, int bt, int ldb, P beta,
                 P c, int ct, int ldc, int compute, int algorithm) {
    double all[] = {(double)(size_t)h, ta, tb, m, n, k, *(float *)alpha, (double)(size_t)a, at, lda,
                    (double)(size_t)b, bt, ldb, *(float *)beta, (double)(size_t)c, ct, ldc, compute, algorithm};
    memcpy(last, all, sizeof all);
    return note("product");
}
int cublasGemmStridedBatchedEx(P h, int ta, int tb, int m, int n, int k, P alpha, P a, int at, int lda, L sa, P b, int bt,
                               int ldb, L sb, P beta, P c, int ct, int ldc, L sc, int batch, int compute, int algorithm) {
    double all[] = {(double)(size_t)h, ta, tb, m, n, k, *(float *)alpha, (double)(size_t)a, at, lda, sa,
                    (double)(size_t)b, bt, ldb, sb, *(float *)beta, (double)(size_t)c, ct, ldc, sc, batch, compute, algorithm};
    memcpy(last, all, sizeof all);
    return note("products");
}
