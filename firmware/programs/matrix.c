/* Matrices: products in double, float and integer, elimination with partial pivoting, and a power iteration. */
#include "program.h"

#define N 48

static double a[N][N], b[N][N], c[N][N];
static float fa[N][N], fb[N][N], fc[N][N];
static s32 ia[N][N], ib[N][N], ic[N][N];

static u64 bits(double x)
{
    u64 v;
    memcpy(&v, &x, sizeof v);
    return v;
}

static void multiply(void)
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++)
                c[i][j] += a[i][k] * b[k][j];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++)
                fc[i][j] += fa[i][k] * fb[k][j];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            s32 sum = 0;
            for (int k = 0; k < N; k++)
                sum += ia[i][k] * ib[k][j];
            ic[i][j] = sum;
        }
}

/* The determinant; `m` is lost. */
static double eliminate(double m[N][N])
{
    double determinant = 1;
    for (int k = 0; k < N; k++) {
        int best = k;
        for (int i = k + 1; i < N; i++)
            if (__builtin_fabs(m[i][k]) > __builtin_fabs(m[best][k]))
                best = i;
        for (int j = 0; j < N && best != k; j++) {
            double t = m[k][j];
            m[k][j] = m[best][j];
            m[best][j] = t;
        }
        determinant *= best == k ? m[k][k] : -m[k][k];
        for (int i = k + 1; i < N; i++) {
            double factor = m[i][k] / m[k][k];
            for (int j = k; j < N; j++)
                m[i][j] -= factor * m[k][j];
        }
    }
    return determinant;
}

static double largest_eigenvalue(void)
{
    double x[N], y[N], norm = 0;
    for (int i = 0; i < N; i++)
        x[i] = 1;
    for (int step = 0; step < 40; step++) {
        norm = 0;
        for (int i = 0; i < N; i++) {
            y[i] = 0;
            for (int j = 0; j < N; j++)
                y[i] += __builtin_fabs(b[i][j]) * x[j];
            norm += y[i] * y[i];
        }
        norm = __builtin_sqrt(norm);
        for (int i = 0; i < N; i++)
            x[i] = y[i] / norm;
    }
    return norm;
}

void program(void)
{
    u64 seed = 3;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (s32)(next_random(&seed) % 2001) / 1000.0 - 1.0;
            b[i][j] = (s32)(next_random(&seed) % 2001) / 1000.0 - 1.0;
            fa[i][j] = (float)a[i][j];
            fb[i][j] = (float)b[i][j];
            ia[i][j] = (s32)(a[i][j] * 1000);
            ib[i][j] = (s32)(b[i][j] * 1000);
        }
    multiply();
    printf("double: corner %016llx, digest %llx\n", bits(c[N - 1][N - 1]), digest(DIGEST_START, c, sizeof c));
    printf("float: corner %016llx, digest %llx\n", bits(fc[N - 1][N - 1]), digest(DIGEST_START, fc, sizeof fc));
    printf("integer: corner %d, digest %llx\n", ic[N - 1][N - 1], digest(DIGEST_START, ic, sizeof ic));
    double value = eliminate(a);
    printf("determinant %016llx, about %lld thousandths\n", bits(value), (s64)(value * 1000));
    value = largest_eigenvalue();
    printf("largest eigenvalue %016llx, about %lld thousandths\n", bits(value), (s64)(value * 1000));
}
