/* driver: libFuzzer's way into targets that are Python, over the core as clang instruments it. Owns: the interpreter, and what
   crosses between it and libFuzzer. Must not know any target: tests/fuzz/guided.py finds it, by FASTGW_FUZZ_TARGET. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

static PyObject *check, *rewrite; /* rewrite: None where bytes are just bytes */

static _Noreturn void give_up(void)
{
    PyErr_Print();
    abort();
}

static PyObject *mutate(PyObject *module, PyObject *args)
{
    const char *data;
    Py_ssize_t size, most;
    uint8_t *room;
    PyObject *result;
    (void)module;
    if (!PyArg_ParseTuple(args, "y#n", &data, &size, &most))
        return NULL;
    room = malloc((size_t)(most > size ? most : size) + 1);
    if (room == NULL)
        return PyErr_NoMemory();
    memcpy(room, data, (size_t)size);
    size = (Py_ssize_t)LLVMFuzzerMutate(room, (size_t)size, (size_t)most);
    result = PyBytes_FromStringAndSize((char *)room, size);
    free(room);
    return result;
}

static PyMethodDef functions[] = {
    {"mutate", mutate, METH_VARARGS, "mutate(data, most): as libFuzzer changes bytes."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_libfuzzer", NULL, -1, functions, NULL, NULL, NULL, NULL};

static PyObject *make_module(void)
{
    return PyModule_Create(&definition);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    PyConfig config;
    PyStatus status;
    PyObject *guided, *pair;
    (void)argc;
    (void)argv;
    PyImport_AppendInittab("_libfuzzer", make_module);
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    status = PyConfig_SetBytesString(&config, &config.program_name, getenv("FASTGW_FUZZ_PYTHON"));
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    PyConfig_Clear(&config);
    guided = PyImport_ImportModule("tests.fuzz.guided");
    pair = guided == NULL ? NULL : PyObject_CallMethod(guided, "target", NULL);
    if (pair == NULL || !PyArg_ParseTuple(pair, "OO", &check, &rewrite))
        give_up();
    return 0; /* pair is never let go of, and so neither is what stands in it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *result = PyObject_CallFunction(check, "y#", (const char *)data, (Py_ssize_t)size);
    if (result == NULL)
        give_up();
    Py_DECREF(result);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    PyObject *result;
    char *made;
    Py_ssize_t length = 0;
    if (rewrite == Py_None)
        return LLVMFuzzerMutate(data, size, most);
    result = PyObject_CallFunction(rewrite, "y#nI", (const char *)data, (Py_ssize_t)size, (Py_ssize_t)most, seed);
    if (result == NULL || PyBytes_AsStringAndSize(result, &made, &length) < 0)
        give_up();
    if ((size_t)length > most)
        length = (Py_ssize_t)most;
    memcpy(data, made, (size_t)length);
    Py_DECREF(result);
    return (size_t)length;
}
