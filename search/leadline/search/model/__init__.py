"""From a network to a .tflite file, its FLOPs, parameters and bytes."""
