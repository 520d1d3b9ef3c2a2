"""How many dimensions does a word vector need? Entropy bounds, exact entropies, models to test them on."""
