"""Keras's optimizers, with what they lack for watching and for starting soon.

The classes are saved inside `.keras` files, so their names stay as they are.
"""

import keras
from keras import ops


class Watched:
    """Mixed into an optimizer of Keras: it keeps how long the last gradient was.

    `gradient_norm` is a float32 variable: the length of all gradients of the last step together,
    before they are clipped. Watching it tells whether `global_clipnorm` matters, and shows a
    training that is about to diverge. It costs nothing that is felt, and is no part of the update.

    A schedule is asked for the learning rate once an update. Keras asks for each matrix that is
    decayed, which makes a step's graph an eighth larger, and every start that much slower.

    With `use_ema`, the moving averages of the weights are `averages`, for
    `callbacks.AveragedWeights` to use; they don't overwrite the weights when `fit` ends.
    """

    _rate_of_update = None  # while one is made

    @property
    def learning_rate(self):
        rate = self._rate_of_update
        return super().learning_rate if rate is None else rate

    @learning_rate.setter
    def learning_rate(self, value):
        keras.optimizers.Optimizer.learning_rate.fset(self, value)

    @property
    def averages(self) -> list:
        """With `use_ema`, the moving average of each trainable variable."""
        return self._model_variables_moving_average

    def _update_model_variables_moving_average(self, trainable_variables):
        # After the first update the weights themselves.
        momentum = self.ema_momentum * ops.cast(self.iterations > 0, "float32")
        rest = 1 - momentum
        for variable, average in zip(trainable_variables, self.averages, strict=True):
            average.assign(momentum * average + rest * variable)

    def finalize_variable_values(self, var_list):
        pass

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.gradient_norm = self.add_variable((), name="gradient_norm", dtype="float32")

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in grads if g is not None]
        self.gradient_norm.assign(ops.sqrt(sum(squares)))
        rate = self.learning_rate
        if not isinstance(rate, keras.Variable):  # a schedule made it
            self._rate_of_update = rate
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._rate_of_update = None


class OneRate(Watched):
    """Mixed into optimizers with Adam's update: what is the same for all weights is computed once.

        m += (1 - beta_1) (g - m),    v += (1 - beta_2) (g^2 - v)
        w -= rate m / (sqrt(v) + epsilon)
        rate = learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t)

    That is how Keras updates too, to the last bit (Kingma & Ba, 2015,
    https://arxiv.org/abs/1412.6980, end of section 2). But Keras computes the one number `rate`
    for each weight anew, and XLA takes 6 ms to translate a single square root: the first step of
    GPT-2's architecture with 44 weights came after 4.5 s instead of 3.5.
    """

    _rate = None  # while an update is made

    def apply(self, grads, trainable_variables=None):
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._rate = None

    def _adam_step(self, gradient, variable, learning_rate, m, v, beta_1, beta_2):
        if self._rate is None:
            t = ops.cast(self.iterations + 1, variable.dtype)
            first, second = (
                1 - ops.power(ops.cast(beta, variable.dtype), t) for beta in (beta_1, beta_2)
            )
            self._rate = ops.cast(learning_rate, variable.dtype) * ops.sqrt(second) / first
        gradient = ops.cast(gradient, variable.dtype)
        m.assign_add((gradient - m) * (1 - beta_1))
        v.assign_add((ops.square(gradient) - v) * (1 - beta_2))
        variable.assign_sub(m * self._rate / (ops.sqrt(v) + self.epsilon))


class AdamUpdate(OneRate):
    """`OneRate` for Keras's Adam and AdamW."""

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        self._adam_step(gradient, variable, learning_rate, m, v, self.beta_1, self.beta_2)


@keras.saving.register_keras_serializable(package="mini_transformer")
class Adam(AdamUpdate, keras.optimizers.Adam):
    """Keras's Adam that keeps the gradient's norm. Arguments are those of Keras's."""


@keras.saving.register_keras_serializable(package="mini_transformer")
class AdamW(AdamUpdate, keras.optimizers.AdamW):
    """Keras's AdamW that keeps the gradient's norm. Arguments are those of Keras's."""


@keras.saving.register_keras_serializable(package="mini_transformer")
class Muon(OneRate, keras.optimizers.Muon):
    """Keras's Muon that keeps the gradient's norm. Arguments are those of Keras's.

    Matrices of one shape are orthogonalized together, wide and tall ones alike. Keras does it one
    by one: with four layers 24 times 15 products stand in a step's graph instead of 2 times 15,
    and the first step takes half as long again. Those of long matrices are small ones here.
    """

    _updates = None  # while they are made: by the index of the matrix

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        alike = {}  # the matrices by their shape, all lying on the longer side
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            if self.adam_velocities[index] is None:
                direction = self._add_momentum(gradient, self.momentums[index])
                is_tall = variable.shape[0] > variable.shape[1]
                direction = ops.transpose(direction) if is_tall else direction
                alike.setdefault(direction.shape, []).append((index, is_tall, direction))
        self._updates = {}
        for matrices in alike.values():
            indices, are_tall, directions = zip(*matrices, strict=True)
            updates = self.zeropower_via_newtonschulz5(ops.stack(directions), self.ns_steps)
            updates = learning_rate * updates
            if self.rms_rate is not None:
                updates = updates * max(updates.shape[-2:]) ** 0.5 * self.rms_rate
            for index, is_tall, update in zip(indices, are_tall, ops.unstack(updates), strict=True):
                self._updates[index] = ops.transpose(update) if is_tall else update
        try:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        finally:
            self._updates = None

    def zeropower_via_newtonschulz5(self, x, steps: int):
        """The nearest orthogonal matrix, about, for matrices (..., m, n) with m <= n.

            A = X X^T,    P = a I + b A + c A^2,    X <- P X,    `steps` times

        P is made of A, so that A <- P A P needs no X: only the first A does, and the product of
        all P in the end. For a feed-forward network's matrices, with n = 4 m, that saves a third
        of the arithmetic; see `has_small_products`.
        """
        m, n = x.shape[-2:]
        if not self.has_small_products(m, n):
            return super().zeropower_via_newtonschulz5(x, steps)
        x = x / (ops.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
        gram = x @ self.transpose_last_axis(x)  # (..., m, m)
        identity = ops.eye(m, dtype=x.dtype)
        product = factor = None
        for _ in range(steps):
            gram = gram if factor is None else factor @ gram @ factor
            factor = self.muon_a * identity + self.muon_b * gram + self.muon_c * gram @ gram
            product = factor if product is None else factor @ product
        return product @ x

    @staticmethod
    def has_small_products(m: int, n: int) -> bool:
        """Whether matrices of (m, n), m <= n, take less arithmetic where A <- P A P.

        `steps` times 2 m^3 operations for A^2 either way; besides 4 m^2 n for the first A and the
        last X and `steps` - 1 times 6 m^3 in between, instead of `steps` times 4 m^2 n.
        """
        return 2 * n > 3 * m

    def _add_momentum(self, gradient, momentum):
        momentum.assign_add(gradient + momentum * (self.momentum - 1))
        return gradient + self.momentum * momentum if self.nesterov else momentum.value

    def _muon_update_step(self, gradient, variable, lr, m):
        variable.assign_sub(self._updates[self._get_variable_index(variable)])

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        self._adam_step(gradient, variable, learning_rate, m, v, self.adam_beta_1, self.adam_beta_2)


def make_optimizer(
    name: str,
    model: keras.Model,
    learning_rate,
    weight_decay: float = 0.0,
    beta_2: float | None = None,
    epsilon: float | None = None,
    **arguments,
) -> keras.optimizers.Optimizer:
    """An optimizer for a language model.

    Args:
        name: "adam", "adamw" or "muon".
        model: the model, whose matrices alone are decayed: not its biases and scales.
        learning_rate: a number or a schedule.
        weight_decay: how fast "adamw" and "muon" shrink matrices, relative to the learning rate.
            Default 0.
        beta_2: how much of its mean of squared gradients Adam keeps at a step, at least 0 and
            below 1. Default None: Keras's own, 0.999.
        epsilon: what Adam adds to the root of that mean, above 0. Default None: Keras's own, 1e-7.
        arguments: others of Keras's optimizers, such as `global_clipnorm`.

    With "muon" these two are for what Adam updates there.
    """
    if beta_2 is not None:
        arguments["adam_beta_2" if name == "muon" else "beta_2"] = beta_2
    if epsilon is not None:
        arguments["epsilon"] = epsilon
    if name == "adam":
        return Adam(learning_rate, **arguments)
    if name == "muon":
        # Muon is for the matrices inside the layers; embedding and logits are Adam's, at a third
        # of the learning rate. That, and a momentum below the usual 0.95, are from experiments
        # with Shakespeare's characters.
        return Muon(
            learning_rate,
            weight_decay=weight_decay,
            adam_weight_decay=0.0,
            exclude_layers=["logits"],
            adam_lr_ratio=0.3,
            momentum=0.9,
            **arguments,
        )
    optimizer = AdamW(learning_rate, weight_decay=weight_decay, **arguments)
    optimizer.exclude_from_weight_decay(
        var_list=[weight for weight in model.trainable_variables if len(weight.shape) < 2]
    )
    return optimizer
