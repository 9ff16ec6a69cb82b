"""Nets in ONNX files at work, through ONNX Runtime; its modules are imported when one is loaded."""
