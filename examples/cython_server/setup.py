"""Builds guard: python setup.py build_ext --inplace. It needs Cython, a C compiler, and fastgw as it is installed."""

from Cython.Build import cythonize
from setuptools import Extension, setup

from fastgw.core import include_dir

guard = Extension("guard", ["guard.pyx"], include_dirs=[include_dir()])
setup(name="guard", ext_modules=cythonize([guard]))
