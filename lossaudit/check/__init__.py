"""The static half: reads code, infers what kind of number each tensor is, reports broken loss contracts."""
